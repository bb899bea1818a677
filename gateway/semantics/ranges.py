"""Range requests (RFC 9110 14): which parts of a representation are wanted, and the response that has them.

Owns 206 and 416. Whoever answers has to have looked at the preconditions first (`conditions`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import NamedTuple

from gateway.body import Body
from gateway.file_body import FileBody
from gateway.headers import Headers
from gateway.model import Response

MAX_RANGES = 16
"""A request that wants more parts, or parts that overlap, gets the whole (RFC 9110 14.2)."""

_SET = re.compile(rb"[ \t]*bytes[ \t]*=[ \t]*(.*)", re.IGNORECASE | re.DOTALL).fullmatch
_RANGE = re.compile(rb"[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*").fullmatch


class ByteRange(NamedTuple):
    """From the first byte up to, not including, the end."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """In bytes."""
        return self.end - self.start


class Unsatisfiable(Exception):
    """None of the ranges lies within the representation: 416."""


def parse_ranges(value: bytes, size: int) -> list[ByteRange]:
    """The parts of `size` bytes that a field Range names, in its order, clipped to what there is.

    Empty if the field is to be ignored: another unit, malformed, too many parts, parts that overlap. Raises
    Unsatisfiable.
    """
    match = _SET(value)
    if match is None:
        return []
    specs = [spec for spec in match[1].split(b",") if spec.strip(b" \t")]
    if not 1 <= len(specs) <= MAX_RANGES:
        return []
    found: list[ByteRange] = []
    for spec in specs:
        bounds = _RANGE(spec)
        if bounds is None or not (bounds[1] or bounds[2]):
            return []
        first, last = bounds.groups()
        if not first:
            start, end = max(0, size - int(last)), size
        else:
            start, end = int(first), min(size, int(last) + 1) if last else size
            if last and int(last) < start:
                return []
        if start < end:
            found.append(ByteRange(start, end))
    if not found:
        raise Unsatisfiable
    ordered = sorted(found)
    if any(after.start < before.end for before, after in pairwise(ordered)):
        return []
    return found


def ranged(response: Response, value: bytes) -> Response:
    """The response to a field Range, made from a 200 whose body is bytes or a file; or that 200 itself.

    The given response is used up: its headers may be those of the new one.
    """
    body = response.body
    if not isinstance(body, bytes | FileBody):
        return response
    size = len(body) if isinstance(body, bytes) else body.length
    try:
        ranges = parse_ranges(value, size)
    except Unsatisfiable:
        return _unsatisfiable(response, size)
    if not ranges:
        return response
    headers = response.headers
    if len(ranges) == 1:
        (wanted,) = ranges
        headers.set(b"content-range", b"bytes %d-%d/%d" % (wanted.start, wanted.end - 1, size))
        headers.set(b"content-length", b"%d" % wanted.length)
        return Response.adopt(206, headers.raw, _cut(body, wanted))
    return _several(headers, body, ranges, size)


def _unsatisfiable(response: Response, size: int) -> Response:
    kept = [
        field
        for field in response.headers.raw
        if field[0] not in (b"content-type", b"content-length", b"content-encoding", b"last-modified", b"etag")
    ]
    kept += [(b"content-range", b"bytes */%d" % size), (b"content-length", b"0")]
    return Response.adopt(416, kept, b"")


def _cut(body: bytes | FileBody, wanted: ByteRange) -> Body:
    if isinstance(body, bytes):
        return body[wanted.start : wanted.end]
    return FileBody(body.file, body.start + wanted.start, wanted.length)


def _several(headers: Headers, body: bytes | FileBody, ranges: list[ByteRange], size: int) -> Response:
    boundary = secrets.token_hex(16).encode()
    kind = headers.get(b"content-type", b"application/octet-stream")
    heads = [
        b"--%b\r\nContent-Type: %b\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"
        % (boundary, kind, wanted.start, wanted.end - 1, size)
        for wanted in ranges
    ]
    end = b"--%b--\r\n" % boundary
    length = sum(len(head) + wanted.length + 2 for head, wanted in zip(heads, ranges, strict=True)) + len(end)
    headers.set(b"content-type", b"multipart/byteranges; boundary=" + boundary)
    headers.set(b"content-length", b"%d" % length)
    if isinstance(body, bytes):
        parts = [b"%b%b\r\n" % (head, body[slice(*wanted)]) for head, wanted in zip(heads, ranges, strict=True)]
        return Response.adopt(206, headers.raw, b"".join((*parts, end)))
    return Response.adopt(206, headers.raw, _stream(body, heads, ranges, end))


async def _stream(body: FileBody, heads: list[bytes], ranges: list[ByteRange], end: bytes) -> AsyncIterator[bytes]:
    for head, wanted in zip(heads, ranges, strict=True):
        yield head
        async for piece in FileBody(body.file, body.start + wanted.start, wanted.length):
            yield piece
        yield b"\r\n"
    yield end
