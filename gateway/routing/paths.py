"""The one form in which a path is matched, and its segments as they came.

Does not know routes and does not change what is forwarded: that stays byte for byte unless a route rewrites it.
"""

from __future__ import annotations

import posixpath
from urllib.parse import unquote_to_bytes

from gateway.config.templates import Part


def matched_path(raw_path: bytes) -> bytes:
    """A path in the one form in which it is matched: decoded, without dot segments or doubled slashes.

    Otherwise `/%61dmin`, `//admin` or `/x/../admin` would pass by the plugins of a route for `/admin`.
    An encoded slash stays encoded: it separates nothing (RFC 3986 2.2).
    """
    # hot: plain
    if b"%" not in raw_path and b"//" not in raw_path and b"/." not in raw_path:
        return raw_path
    decoded = _decoded(raw_path)
    normal = posixpath.normpath(b"/" + decoded.lstrip(b"/"))
    return normal + b"/" if decoded.endswith((b"/", b"/.", b"/..")) and normal != b"/" else normal


def _decoded(raw: bytes) -> bytes:
    """Percent-decoded, but for encoded slashes."""
    return unquote_to_bytes(raw.replace(b"%2f", b"%252F").replace(b"%2F", b"%252F"))


def raw_segments(raw_path: bytes) -> list[bytes]:
    """The segments that `matched_path` has, as they came: undecoded, the slash at the end an empty one.

    None of them is a dot segment, however it is encoded, and none but the last is empty.
    """
    kept: list[bytes] = []
    plain = b""
    for segment in raw_path.split(b"/"):
        plain = unquote_to_bytes(segment)
        if plain == b"..":
            del kept[-1:]
        elif plain not in (b"", b"."):
            kept.append(segment)
    if kept and plain in (b"", b".", b".."):
        kept.append(b"")
    return kept


def literal_segments(path: str) -> list[bytes]:
    """The segments of a path of the configuration, in the form in which they are matched."""
    return matched_path(path.encode()).split(b"/")[1:]


def pattern_segments(pattern: tuple[str | Part, ...]) -> list[bytes | Part]:
    """The segments of a pattern, literal ones in the form in which they are matched."""
    return [piece if isinstance(piece, Part) else _decoded(piece.encode()) for piece in pattern]


def captured(pattern: tuple[str | Part, ...], raw_path: bytes) -> dict[str, str]:
    """What stands in the named parts of a pattern, as it came (percent-encoding and all)."""
    segments = raw_segments(raw_path)
    found: dict[str, str] = {}
    for place, piece in enumerate(pattern):
        if isinstance(piece, Part) and place < len(segments):
            raw = b"/".join(segments[place:]) if piece.takes_rest else segments[place]
            found[piece.name] = raw.decode("latin-1")
    return found
