"""Parts of a representation: what of a 206 is stored, with which others it is combined, which requests it serves.

Parts are combined if a strong validator says that they are of the same bytes (RFC 9111 3.4, RFC 9110 15.3.7.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gateway import ByteRange, Request, Response, Unsatisfiable, if_range_holds, parse_ranges

if TYPE_CHECKING:
    from gateway_cache.entry import Entry

MAX_PIECES = 64
"""Of one representation; a client that asks for every second byte fills no store with their overhead."""

_CONTENT_RANGE = re.compile(rb"[ \t]*bytes[ \t]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})[ \t]*", re.I).fullmatch


class Parts(NamedTuple):
    """What is there of a representation of so many bytes."""

    total: int
    pieces: tuple[tuple[int, bytes], ...]
    """Where each begins, and its bytes: in order, with gaps between them."""

    @property
    def size(self) -> int:
        """The bytes that are there."""
        return sum(len(piece) for _, piece in self.pieces)

    @property
    def whole(self) -> bytes | None:
        """All bytes, if they are there."""
        return self.pieces[0][1] if len(self.pieces) == 1 and self.size == self.total else None

    def holding(self, body: bytes) -> Parts:
        """With these bytes in the place of the first piece's."""
        return Parts(self.total, ((self.pieces[0][0], body),))

    def with_others(self, others: Parts) -> Parts:
        """What both have. Where they overlap they are the same."""
        joined: list[tuple[int, bytes]] = []
        for start, piece in sorted((*self.pieces, *others.pieces), key=lambda item: item[0]):
            if joined and start <= (end := joined[-1][0] + len(joined[-1][1])):
                joined[-1] = joined[-1][0], joined[-1][1] + piece[end - start :]
            else:
                joined.append((start, piece))
        return Parts(self.total, tuple(joined))

    def cut(self, wanted: ByteRange) -> bytes | None:
        """The bytes of a range, if all of them are there."""
        for start, piece in self.pieces:
            if start <= wanted.start and wanted.end <= start + len(piece):
                return piece[wanted.start - start : wanted.end - start]
        return None


def announced(response: Response, length: int) -> Parts | None:
    """Where the body of a 206, of this length, belongs; None for several parts, and where the fields disagree."""
    values = response.headers.get_all(b"content-range")
    match = _CONTENT_RANGE(values[0]) if len(values) == 1 else None
    if match is None:
        return None
    first, last, total = map(int, match.groups())
    return Parts(total, ((first, b""),)) if first <= last < total and last + 1 - first == length else None


def is_same(one: Entry, other: Entry) -> bool:
    """Whether two stored responses are of the same bytes for certain."""
    validator = strong_validator(one)
    return validator is not None and validator == strong_validator(other)


def strong_validator(entry: Entry) -> bytes | int | None:
    """The ETag, or where there is none the date of a modification that was over when the response was made."""
    if entry.etag is not None:
        return None if entry.etag.startswith(b"W/") else entry.etag
    modified = entry.last_modified
    return modified if modified is not None and entry.date is not None and entry.date > modified else None


def combined(known: Entry | None, new: Entry, most: int) -> Entry:
    """What is stored when a part comes to what is known already; the new part alone if they do not fit together.

    `most` is how many bytes may be stored.
    """
    if new.parts is None or known is None or not is_same(known, new):
        # What an endpoint says late of what it has replaced since is no news.
        is_late = known is not None and known.date is not None and new.date is not None and new.date < known.date
        return known if is_late and new.parts is not None and known is not None else new
    if known.parts is None:
        return known.validated(new.headers, new.terms, new.born)
    if known.parts.total != new.parts.total:
        return new
    parts = known.parts.with_others(new.parts)
    if parts.size > most or len(parts.pieces) > MAX_PIECES:
        return new
    return known.validated(new.headers, new.terms, new.born).with_parts(parts)


def wanted_part(entry: Entry, request: Request) -> ByteRange | None:
    """The range that a request wants, if it wants one that is there."""
    wanted = request.headers.get_all(b"range")
    if entry.parts is None or request.method != "GET" or len(wanted) != 1:
        return None
    if not if_range_holds(request.headers, entry.etag, entry.last_modified, entry.date):
        return None
    try:
        ranges = parse_ranges(wanted[0], entry.parts.total)
    except Unsatisfiable:
        return None
    return ranges[0] if len(ranges) == 1 and entry.parts.cut(ranges[0]) is not None else None


def part(response: Response, entry: Entry, request: Request) -> Response:
    """The 206 with what a request wants, which is there. The response's headers may be those of the new one."""
    wanted = wanted_part(entry, request)
    assert entry.parts is not None
    assert wanted is not None
    content_range = b"bytes %d-%d/%d" % (wanted.start, wanted.end - 1, entry.parts.total)
    response.headers.set(b"content-range", content_range)
    response.headers.set(b"content-length", b"%d" % wanted.length)
    return Response.adopt(206, response.headers.raw, entry.parts.cut(wanted) or b"")


__all__ = ["Parts", "announced", "combined", "is_same", "part", "strong_validator", "wanted_part"]
