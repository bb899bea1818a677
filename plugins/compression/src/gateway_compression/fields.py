"""What encoding a body means for the fields that describe it, and for the conditions that clients make of them.

Pure functions over lists of fields. Does not decide what is encoded (`decisions`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

RawFields = list[tuple[bytes, bytes]]

_ENTITY_TAG = re.compile(rb'(?:W/)?"[^"]*"')
_IS_ENTITY_TAG = re.compile(rb'(?:W/)?"[^"]*"').fullmatch
_NO_TRANSFORM = re.compile(rb"(?:^|[,\s])no-transform(?:$|[,;\s])", re.IGNORECASE).search

_OF_THE_ENCODED_BYTES = frozenset(
    (
        b"accept-ranges", b"content-digest", b"content-encoding", b"content-length", b"content-md5", b"digest",
        b"repr-digest",
    )
)  # fmt: skip
"""Fields that a body in another coding belies.

Content-Digest is about the content as sent, Repr-Digest and the older Digest about the representation, of which
the content coding is a part (RFC 9530 2 and 3, RFC 9110 8.1), Content-MD5 likewise (RFC 2616 14.15). A range of
what is encoded anew each time means nothing.
"""


def forbids_transforming(values: Iterable[bytes]) -> bool:
    """Whether a field Cache-Control says `no-transform` (RFC 9111 5.2.1.6 and 5.2.2.6)."""
    return any(_NO_TRANSFORM(value) for value in values)


def recoded(raw: RawFields, coding: bytes | None) -> RawFields:
    """The fields of a response whose body is now in another coding; None: in none.

    The representation has changed, byte for byte: a strong ETag becomes a weak one (RFC 9110 8.8.3.3), and what is
    no entity tag at all goes.
    """
    kept: RawFields = []
    for field in raw:
        if field[0] == b"etag":
            if _IS_ENTITY_TAG(field[1]):
                kept.append((b"etag", weak(field[1])))
        elif field[0] not in _OF_THE_ENCODED_BYTES:
            kept.append(field)
    if coding is not None:
        kept.append((b"content-encoding", coding))
    return kept


def weak(entity_tag: bytes) -> bytes:
    """`"x"` → `W/"x"`."""
    return entity_tag if entity_tag.startswith(b"W/") else b"W/" + entity_tag


def with_vary(raw: RawFields) -> RawFields:
    """The fields, saying that the answer depends on Accept-Encoding; in the last field Vary if there is one."""
    place = None
    for index, (name, value) in enumerate(raw):
        if name == b"vary":
            names = {item.strip(b" \t").lower() for item in value.split(b",")}
            if b"*" in names or b"accept-encoding" in names:
                return raw
            place = index
    if place is None:
        return [*raw, (b"vary", b"Accept-Encoding")]
    merged = raw[place][1].strip(b" \t,")
    value = merged + b", Accept-Encoding" if merged else b"Accept-Encoding"
    return [*raw[:place], (b"vary", value), *raw[place + 1 :]]


def weakened_if_asked(raw: RawFields, if_none_match: Iterable[bytes]) -> RawFields:
    """The fields of a 304, with the ETag as the client knows it: weak, if that is what it asked with."""
    known = {entity_tag for value in if_none_match for entity_tag in _ENTITY_TAG.findall(value)}
    return [
        (name, weak(value)) if name == b"etag" and b"W/" + value in known else (name, value) for name, value in raw
    ]


def with_strong_if_match(raw: RawFields) -> RawFields:
    """The fields of a request, with the entity tags in If-Match as the endpoint made them: strong.

    If-Match compares strongly, so a tag that was weakened here would never match (RFC 9110 13.1.1).
    """
    return [(name, _strong(value)) if name == b"if-match" else (name, value) for name, value in raw]


def _strong(value: bytes) -> bytes:
    return _ENTITY_TAG.sub(lambda match: match[0].removeprefix(b"W/"), value)


def without_weak_range(raw: RawFields) -> RawFields:
    """The fields of a request, without a Range whose condition cannot hold: If-Range with a weak tag.

    It never does by the RFC (9110 13.1.5). Endpoints that compare it sloppily would send a part of the plain body
    to a client which holds a part of the encoded one.
    """
    if any(name == b"if-range" and value.lstrip(b" \t").startswith(b"W/") for name, value in raw):
        return [field for field in raw if field[0] not in (b"if-range", b"range")]
    return raw
