"""Decide what becomes of one response's body: left alone, encoded, decoded, or both.

Pure: fields in, a decision out. Does not change fields (`fields`) and does not touch bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway import Headers, choose_coding
from gateway_compression.fields import forbids_transforming
from gateway_compression.media_types import MediaTypes

DECODABLE = frozenset((b"gzip", b"deflate", b"br", b"zstd"))

_IDENTITY = b"identity"
_ALIASES = {b"x-gzip": b"gzip"}
_WITHOUT_BODY = frozenset((101, 204, 205))


class Decision(NamedTuple):
    """What to do with a response."""

    decode: bytes | None = None
    """The coding that it has, if that goes."""
    encode: bytes | None = None
    """The coding that it gets."""
    varies: bool = False
    """Whether another client could get it in another coding: then it says so."""

    @property
    def changes_body(self) -> bool:
        """Whether the body will not be what it is."""
        return self.decode is not None or self.encode is not None


NOTHING = Decision()


class Judge:
    """What is encoded and decoded, by one configuration."""

    __slots__ = ("_min_size", "_offered", "decodes", "types")

    def __init__(self, codings: Sequence[str], types: MediaTypes, min_size: int, decodes: bool) -> None:
        self._offered = (*(coding.encode() for coding in codings), _IDENTITY)
        self.types = types
        self._min_size = min_size
        self.decodes = decodes

    def decide(
        self, accepts: Sequence[bytes], request_forbids: bool, status: int, headers: Headers, size: int | None
    ) -> Decision:
        """What to do with a response that has (or, to HEAD and 304, would have) a body.

        `accepts` are the client's fields Accept-Encoding, `request_forbids` is its no-transform; `size` is that of
        the body, None if it is not known.
        """
        if status in _WITHOUT_BODY or forbids_transforming(headers.get_all(b"cache-control")):
            return NOTHING
        present = coding_of(headers)
        content_type = headers.get(b"content-type")
        if status == 304 and content_type is None and present is None:
            return Decision(varies=True)  # as the whole response says, if it is of a kind that is encoded
        is_encoded_here = self.types[content_type]
        if present is None:
            if not is_encoded_here or (size is not None and size < self._min_size):
                return NOTHING
        elif not self.decodes or present not in DECODABLE:
            return NOTHING
        if status in (206, 304) or b"content-range" in headers:
            return Decision(varies=True)
        if request_forbids:
            return Decision(varies=True)
        if present is not None and takes(accepts, present):
            return Decision(varies=True)
        return Decision(present, self._chosen(accepts) if is_encoded_here else None, varies=True)

    def _chosen(self, accepts: Sequence[bytes]) -> bytes | None:
        """The coding for this client. One that asks for none gets none; so does one that refuses all.

        To send what was refused is the server's choice (RFC 9110 12.5.3: SHOULD, 15.5.7), and better than an error.
        """
        chosen = choose_coding(accepts, self._offered) if accepts else None
        return None if chosen == _IDENTITY else chosen


def takes(accepts: Sequence[bytes], coding: bytes) -> bool:
    """Whether a client has said that it can decode this. Saying nothing is not saying it."""
    return bool(accepts) and choose_coding(accepts, (coding,)) is not None


def coding_of(headers: Headers) -> bytes | None:
    """The content coding of a response, None if it has none; several are given as one that nobody knows."""
    text = b",".join(headers.get_all(b"content-encoding")).strip(b" \t").lower()
    return None if text in (b"", _IDENTITY) else _ALIASES.get(text, text)
