"""Which of several stored responses a request selects: Vary, and what the fields that it names hold (RFC 9111 4.1).

Owns the normal form of selecting fields. Two requests select the same response if their forms are equal.
"""

from __future__ import annotations

from functools import lru_cache

from gateway import Headers, accepted_codings

Fields = list[tuple[bytes, bytes]]

MAX_REMEMBERED = 256
CODINGS = (b"zstd", b"br", b"gzip", b"deflate")
"""Codings in which endpoints and plugins answer. A client's word on others selects nothing."""


def vary_names(headers: Headers) -> tuple[bytes, ...] | None:
    """The fields that a response depends on, in lower case and order; None if on more than fields (`*`)."""
    names = {name.strip(b" \t").lower() for value in headers.get_all(b"vary") for name in value.split(b",")} - {b""}
    return None if b"*" in names else tuple(sorted(names))


def selecting_values(names: tuple[bytes, ...], fields: Fields) -> tuple[bytes | None, ...]:
    """What a request's fields hold for each of these names, in their normal form; None for one that is absent."""
    return tuple(_normal(name, [value for field, value in fields if field == name]) for name in names)


def _normal(name: bytes, values: list[bytes]) -> bytes | None:
    if not values:
        return None
    text = values[0] if len(values) == 1 else b",".join(values)
    if name != b"accept-encoding":
        return normal_list(text)
    return _remembered(text) if len(text) <= MAX_REMEMBERED else normal_codings(text)


def normal_list(text: bytes) -> bytes:
    """A field's value without white space around its commas and ends."""
    return b",".join([part.strip(b" \t") for part in text.split(b",")])


def normal_codings(text: bytes) -> bytes:
    """What an Accept-Encoding comes to: the known codings that it accepts, the equally liked side by side."""
    accepted = accepted_codings([text]) or {}
    other = accepted.get(b"*", 0)
    weights = {coding: accepted.get(coding, other) for coding in CODINGS}
    weights[b"identity"] = accepted.get(b"identity", 0)
    ranks = sorted({weight for weight in weights.values() if weight}, reverse=True)
    groups = [b",".join(sorted(coding for coding in weights if weights[coding] == rank)) for rank in ranks]
    is_refused = accepted.get(b"identity", other if b"*" in accepted else 1) == 0
    return b";".join([*groups, b"identity refused"] if is_refused else groups)


def has_strange_coding(headers: Headers, vary: tuple[bytes, ...]) -> bool:
    """Whether a response is in a coding that the normal form of Accept-Encoding does not tell from others."""
    coding = headers.get(b"content-encoding")
    return coding is not None and b"accept-encoding" in vary and coding.lower() not in (*CODINGS, b"identity")


_remembered = lru_cache(256)(normal_codings)


__all__ = ["Fields", "has_strange_coding", "normal_codings", "normal_list", "selecting_values", "vary_names"]
