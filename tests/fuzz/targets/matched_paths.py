"""Paths as routes match them: without dot segments, and their parts are those that a rewrite takes."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from fuzz_input import path

from gateway.routing.paths import matched_path, raw_segments


def decoded(segment: bytes) -> bytes:
    """Percent-decoded but for slashes."""
    return unquote_to_bytes(segment.replace(b"%2f", b"%252F").replace(b"%2F", b"%252F"))


def check(data: bytes) -> None:
    raw = path(data)
    matched = matched_path(raw)
    segments = matched.split(b"/")
    assert segments[0] == b""
    assert not {b".", b".."} & set(segments)
    assert b"" not in segments[1:-1]
    assert b"/" + b"/".join(map(decoded, raw_segments(raw))) == matched
