"""The head of a response as it stands on the wire: where it ends, what frames the body, whether it may be used.

Pure functions over bytes and fields (RFC 9112 2 to 6, 9.3). What they refuse is a ValueError. Does not parse
fields: that is the parser's work.
"""

from __future__ import annotations

import re

from gateway.headers import RawHeaders
from gateway.upstream.message import FRAMING

NO_BODY, CHUNKED, UNTIL_CLOSE = -1, -2, -3
"""Ways in which a body may end, beside a length."""

_PREFIX = b"HTTP/1."
_BARE_LF = re.compile(rb"(?<!\r)\n").search


def head_end(data: bytes, max_bytes: int) -> int:
    """Where the head ends that `data` begins with; -1 if it has not all arrived."""
    if not data.startswith(_PREFIX):
        if not _PREFIX.startswith(data):
            raise ValueError("it does not speak HTTP/1")
        return -1
    end = data.find(b"\r\n\r\n")
    if end > max_bytes or (end < 0 and len(data) > max_bytes):
        raise ValueError(f"its head is too large (over {max_bytes} bytes)")
    if end < 0:
        if _BARE_LF(data):
            raise ValueError("its lines end without CR")
        return -1
    return end + 4


def is_interim(data: bytes) -> bool:
    """Whether a head says 1xx."""
    return data[9:10] == b"1"


def without_tabs(data: bytes, end: int) -> bytes:
    """The same with no tab around a value up to `end`: legal white space (RFC 9110 5.5) that llhttp keeps."""
    if data.find(b"\t", 0, end) < 0:
        return data
    lines = [_without_space(line) for line in data[:end].split(b"\r\n")]
    return b"\r\n".join(lines) + data[end:]


def _without_space(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    is_folded = line.startswith((b" ", b"\t"))  # obsolete, and refused by the parser
    return line if is_folded or not colon else name + b": " + value.strip(b" \t")


def framing(fields: RawHeaders, status: int, is_head_request: bool) -> int:
    """How the body ends: after so many bytes, or one of NO_BODY, CHUNKED, UNTIL_CLOSE (RFC 9112 6.3)."""
    length, is_chunked = -1, False
    for name, value in fields:
        if name == b"content-length":
            if length >= 0 or not value.isdigit():
                raise ValueError("Content-Length is repeated or no number")
            length = int(value)
        elif name == b"transfer-encoding":
            if is_chunked or value.strip().lower() != b"chunked":
                raise ValueError("a transfer coding other than chunked")
            is_chunked = True
    if is_chunked and length >= 0:
        raise ValueError("both Content-Length and Transfer-Encoding")
    if is_head_request or status in (204, 304):
        return NO_BODY
    if is_chunked:
        return CHUNKED
    return length if length >= 0 else UNTIL_CLOSE


def check_interim(fields: RawHeaders, status: int) -> None:
    """An interim response has no body (RFC 9110 15.2): one that announces it would shift all that follows."""
    if any(name in FRAMING for name, _ in fields):
        raise ValueError(f"an interim response {status} with a body")


def keeps_alive(fields: RawHeaders, version: str) -> bool:
    """Whether the connection stays open after this response (RFC 9112 9.3)."""
    values = b",".join(value for name, value in fields if name == b"connection").lower()
    options = [option.strip() for option in values.split(b",")]
    return b"keep-alive" in options if version == "1.0" else b"close" not in options
