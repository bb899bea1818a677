"""One file as it is sent, in one coding: its validators, its header fields, and its content if that is small.

Owns ETag and Last-Modified. Does not look for files and knows no request.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from typing import TypeAlias

from gateway import OpenFile, format_date

Signature: TypeAlias = tuple[int, int, int, int, int]
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

_YOUNG_NS = 100_000_000
"""A file that was changed so shortly before it was read may be changed again under the same timestamp."""
_LONG_AGO_NS = 10 * 365 * 86400 * 1_000_000_000
"""Reproducible builds give every file the same time, near the epoch: it says nothing."""
_TRIES = 3
_OF_304 = frozenset((b"etag", b"last-modified", b"cache-control", b"vary"))


def signature(status: os.stat_result) -> Signature:
    """What is another one as soon as a file is replaced or written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Representation:
    """A file in one coding. Immutable; the lists of fields are to be copied."""

    __slots__ = (
        "coding", "content", "etag", "fields", "fields_of_304", "is_young", "last_modified", "name", "signature",
        "size",
    )  # fmt: skip

    def __init__(
        self, name: str, coding: bytes, status: os.stat_result, fields: RawHeaders, content: bytes | None
    ) -> None:
        """`fields` are those that do not depend on what is in the file."""
        self.name = name
        self.coding = coding
        self.signature = signature(status)
        self.size = status.st_size
        self.content = content
        """None for what is read when it is sent."""
        now = time.time_ns()
        self.is_young = now - max(status.st_mtime_ns, status.st_ctime_ns) < _YOUNG_NS
        self.etag = _etag(status, content, coding)
        self.last_modified = _last_modified(status, now)
        """In seconds; None if the file's time says nothing."""
        self.fields: RawHeaders = [*fields, (b"etag", self.etag)]
        if self.last_modified is not None:
            self.fields.append((b"last-modified", format_date(self.last_modified)))
        self.fields_of_304 = [field for field in self.fields if field[0] in _OF_304]

    def __repr__(self) -> str:
        place = "on disk" if self.content is None else "in memory"
        return f"<Representation {self.name}, {self.size} bytes, {place}>"


def read_whole(file: OpenFile) -> bytes | None:
    """The content of a file; None for one that does not keep still. Blocks."""
    for _ in range(_TRIES):
        data = file.read(0, file.size + 1)
        is_same = signature(os.fstat(file.descriptor)) == signature(file.status)
        if is_same and len(data) == file.size:
            return data
        file.status = os.fstat(file.descriptor)
    return None


def _etag(status: os.stat_result, content: bytes | None, coding: bytes) -> bytes:
    """A strong one: of the content where that is in memory, else of size, time and coding, which machines share.

    Inode and time of change are those of one machine; they count where the time of modification says nothing.
    """
    if content is not None:
        return b'"%b"' % blake2b(content, digest_size=12).hexdigest().encode()
    if status.st_mtime_ns < _LONG_AGO_NS:
        return b'"%x-%x-%x-%b"' % (status.st_size, status.st_ino, status.st_ctime_ns, coding)
    return b'"%x-%x-%b"' % (status.st_size, status.st_mtime_ns, coding)


def _last_modified(status: os.stat_result, now_ns: int) -> int | None:
    """Never in the future (RFC 9110 8.8.2.1)."""
    if status.st_mtime_ns < _LONG_AGO_NS:
        return None
    return min(status.st_mtime_ns, now_ns) // 1_000_000_000
