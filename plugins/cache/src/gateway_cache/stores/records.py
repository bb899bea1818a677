"""A stored response as bytes: what the stores outside a worker's memory keep.

A head, a line of JSON with all but the body, then the body. What is damaged, cut short or of another format is no
record, and so a miss.
"""

from __future__ import annotations

import struct
from zlib import crc32

import orjson

from gateway_cache.entry import Entry
from gateway_cache.files import BodyFile
from gateway_cache.keys import digest
from gateway_cache.policy import Terms

FORMAT = 3

_HEAD = struct.Struct(">QBII")
"""When it came, format, bytes of JSON, checksum of what follows."""
STAMP = struct.Struct(">Q")
"""When it came, alone: nanoseconds since the epoch."""


def key_of(url: bytes, entry: Entry) -> bytes:
    """The key of a response: all to one URL lie side by side."""
    return digest(url) + digest(repr((entry.place, entry.vary, entry.selecting)).encode())


def record_of(url: bytes, entry: Entry, stamp: int) -> bytes:
    """A response as it is stored: with its body, or with where the file is that has it."""
    body = entry.body if isinstance(entry.body, bytes) else b""
    meta = orjson.dumps(
        {
            "url": url.decode("latin-1"),
            "place": entry.place,
            "status": entry.status,
            "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in entry.headers],
            "terms": {name: value for name, value in entry.terms._asdict().items() if name != "hidden"},
            "vary": [name.decode("latin-1") for name in entry.vary],
            "selecting": [None if value is None else value.decode("latin-1") for value in entry.selecting],
            "born": entry.born,
            "size": len(body),
            "file": None if entry.file is None else [*entry.file],
        }
    )
    return _HEAD.pack(stamp, FORMAT, len(meta), crc32(body, crc32(meta))) + meta + body


def read_record(value: bytes | memoryview, url: bytes) -> Entry | None:
    """The response in a record; None if it is damaged, or of another URL."""
    read = read_meta(value)
    if read is None or read[0] != url:
        return None
    _, entry = read
    _, _, length, checksum = _HEAD.unpack_from(value)
    rest = memoryview(value)[_HEAD.size :]
    if crc32(rest) != checksum:
        return None
    return entry if entry.file is not None else entry.with_body(bytes(rest[length:]))


def came_at(value: bytes | memoryview) -> int:
    """When a record that can be read came, in nanoseconds since the epoch."""
    (stamp,) = STAMP.unpack_from(value)
    return int(stamp)


def read_meta(value: bytes | memoryview) -> tuple[bytes, Entry] | None:
    """URL and response, without the body, of a record; None if it is damaged."""
    try:
        _, version, length, _ = _HEAD.unpack_from(value)
        if version != FORMAT:
            return None
        meta = orjson.loads(memoryview(value)[_HEAD.size : _HEAD.size + length])
        if len(value) != _HEAD.size + length + meta["size"]:
            return None
        headers = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in meta["headers"]]
        selecting = tuple(None if text is None else text.encode("latin-1") for text in meta["selecting"])
        vary = tuple(name.encode("latin-1") for name in meta["vary"])
        terms = Terms(**meta["terms"], hidden=frozenset())
        place = (meta["place"][0], meta["place"][1])
        entry = Entry(place, meta["status"], headers, terms, vary, selecting, meta["born"])
        if meta["file"] is not None:
            path, size, changed = meta["file"]
            entry.with_file(BodyFile(str(path), int(size), int(changed)))
        return meta["url"].encode("latin-1"), entry
    except (struct.error, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


__all__ = ["STAMP", "came_at", "key_of", "read_meta", "read_record", "record_of"]
