"""The ways in which a path, a query or a body can be read by whoever stands behind, so that a rule meets them all.

Owns decoding and tidying, each once. Changes nothing of what is forwarded, and does not know any rule.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES = {text.encode(): bytes((number,)) for number in range(256) for text in (f"{number:02x}", f"{number:02X}")}
_CAN_BE_READ_OTHERWISE = re.compile(rb"[%\\;]|/[/.]").search


def path_forms(raw: bytes) -> tuple[bytes, ...]:
    """The path as it came, decoded, tidied, and with its `..` resolved: those of them that differ.

    Tidied: `\\` is a slash, slashes that follow each other are one, and `.` and what follows a `;` in a segment are
    gone. Endpoints differ in which of these they do.
    """
    if not _CAN_BE_READ_OTHERWISE(raw):
        return (raw,)
    decoded = _decoded(raw)
    forms = [raw, decoded, *_tidied(decoded)]
    if b"\0" in decoded:  # where strings end with it, for C
        forms += _tidied(decoded.partition(b"\0")[0])
    return tuple(dict.fromkeys(forms))


def _tidied(decoded: bytes) -> tuple[bytes, bytes]:
    """Without and with its `..` resolved."""
    segments = [segment.partition(b";")[0] for segment in decoded.replace(b"\\", b"/").split(b"/")]
    tidy = [segment for segment in segments if segment not in (b"", b".")]
    resolved: list[bytes] = []
    for segment in tidy:
        if segment != b"..":
            resolved.append(segment)
        elif resolved:
            resolved.pop()
    end = b"/" if segments[-1] in (b"", b".", b"..") else b""
    return _joined(tidy, end), _joined(resolved, end)


def _joined(segments: list[bytes], end: bytes) -> bytes:
    return b"/" + b"/".join(segments) + end if segments else b"/"


def text_forms(raw: bytes) -> tuple[bytes, ...]:
    """A query, or a body that may be a form: as it came, and decoded if that differs."""
    if b"%" not in raw and b"+" not in raw:
        return (raw,)
    return raw, _decoded(raw.replace(b"+", b" "))


def _decoded(raw: bytes) -> bytes:
    """Percent-decoded once. urllib's takes 16 ms for 64 KiB of percent signs, which anybody can send."""
    return _ESCAPE.sub(_decode_one, raw)


def _decode_one(escape: re.Match[bytes]) -> bytes:
    digits = escape[1]
    return _BYTES.get(digits) or _BYTES[digits.lower()]
