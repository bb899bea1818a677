"""From a fuzzer's bytes to what the code under test takes, so that seeds are texts which a person can read."""

from __future__ import annotations

import re

_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)").fullmatch

Fields = list[tuple[bytes, bytes]]


def lines(data: bytes, count: int) -> list[bytes]:
    """Just so many lines; the last one has all that is left, and those that are not there are empty."""
    found = data.split(b"\n", count - 1)
    return found + [b""] * (count - len(found))


def fields(data: bytes) -> Fields:
    """Lines `name: value` as fields, as the server core hands them over; lines that are none are left out."""
    matches = map(_FIELD, data.split(b"\n"))
    return [(match[1].lower(), match[2].strip(b" \t")) for match in matches if match is not None]


def number(text: bytes, most: int) -> int:
    """The digits in a text as a number from 0 to `most`."""
    digits = b"".join(re.findall(rb"[0-9]", text[:12]))
    return int(digits or b"0") % (most + 1)


def path(text: bytes) -> bytes:
    """A text as the path of a request line: without what could not stand there."""
    return b"/" + re.sub(rb"[\x00-\x20?#\x7f]", b"", text.removeprefix(b"/"))


def value(text: bytes) -> bytes:
    """A text as the value of a field."""
    return text.translate(None, b"\r\n\0").strip(b" \t")
