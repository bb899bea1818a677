"""Recognise an ordinary response that came in one piece: HTTP/1.1, a Content-Length, and just so many bytes.

Most responses to small requests are like that, and most of their lines were seen before. Refuses nothing: what is
not plainly ordinary is left to the parser (`response_reader`), which would read these the same.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from gateway.headers import RawHeaders
from gateway.upstream.message import ENDS_HERE

MAX_KNOWN = 2048
"""Lines that are kept; with more, all are forgotten, so that those of today are found again."""
MAX_KNOWN_BYTES = 256
"""Longer lines hardly come twice."""

PASSED_ON, LENGTH, SERVER, DROPPED, UNUSUAL = range(5)

Line: TypeAlias = tuple[int, tuple[bytes, bytes]]
"""What a line is, and the field in it."""

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) [ !-~]*").fullmatch
_FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ ]?([!-~\x80-\xff](?:[ !-~\x80-\xff]*[!-~\x80-\xff])?)"
).fullmatch
_LENGTH = re.compile(rb"[0-9]{1,15}").fullmatch
_NOTHING = (b"", b"")
_WITHOUT_BODY = (b"204", b"304")


WholeResponse: TypeAlias = tuple[int, RawHeaders, bytes, bool, bytes]
"""Status, fields without those that end at this hop, Content-Length, whether `Server` is there, body."""


class _Lines(dict[bytes, Line]):
    """The lines that were seen lately, read. Looking one up never fails."""

    def __missing__(self, line: bytes) -> Line:
        known = _read_line(line)
        if len(line) <= MAX_KNOWN_BYTES:
            if len(self) >= MAX_KNOWN:
                self.clear()
            self[line] = known
        return known


def _read_line(line: bytes) -> Line:
    match = _FIELD(line)
    if match is None:
        return UNUSUAL, _NOTHING
    name, value = match[1].lower(), match[2]
    if name == b"content-length":
        return (LENGTH if _LENGTH(value) else UNUSUAL), (name, value)
    if name == b"keep-alive" or (name == b"connection" and value.lower() == b"keep-alive"):
        return DROPPED, _NOTHING
    if name in ENDS_HERE:
        return UNUSUAL, _NOTHING
    return (SERVER if name == b"server" else PASSED_ON), (name, value)


class _Statuses(dict[bytes, int]):
    """The status lines that were seen lately, and their statuses; 0 for one that is not ordinary."""

    def __missing__(self, line: bytes) -> int:
        match = _STATUS_LINE(line)
        status = 0 if match is None or match[1] in _WITHOUT_BODY else int(match[1])
        if len(self) < MAX_KNOWN and len(line) <= MAX_KNOWN_BYTES:
            self[line] = status
        return status


_lines = _Lines()
_statuses = _Statuses()


def whole_response(data: bytes, max_head_bytes: int) -> WholeResponse | None:
    """The response that these bytes are, or None if they are anything but one whole ordinary response."""
    # hot: plain. A look-up for each line takes half of what the parser's callbacks do.
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= max_head_bytes:
        return None
    lines = data[:end].split(b"\r\n")
    status = _statuses[lines[0]]
    del lines[0]
    headers: RawHeaders = []
    length, has_server = b"", False
    for kind, field in map(_lines.__getitem__, lines):
        if kind == PASSED_ON:
            headers.append(field)
        elif kind == LENGTH and not length:
            length = field[1]
        elif kind == SERVER:
            headers.append(field)
            has_server = True
        elif kind != DROPPED:
            return None
    end += 4
    if not (status and length) or len(data) - end != int(length):
        return None
    return status, headers, length, has_server, data[end:]
