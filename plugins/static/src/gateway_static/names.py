"""From a request's path to the name of a file below a root: decoded once, and refused where it is in doubt.

Owns what a name may look like. Does not touch the disk: what a name leads to is the business of `roots`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

WELL_KNOWN = ".well-known"
"""RFC 8615: the one name with a dot at its beginning that is meant for the public."""

ROOT = "."
"""The root itself, without the slash that a folder's path ends with."""

_BROKEN_ENCODING = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f/\\]").search


def file_name(raw_path: bytes, prefix: tuple[str, ...] = (), *, is_hidden_served: bool = False) -> str | None:
    """The name that a path stands for, relative to a root; None if it can stand for no file that is served.

    The path is split at its literal slashes, and each segment is percent-decoded once. A slash at the end stays.
    Refused are: broken percent-encoding, what is no UTF-8 (overlong forms are none), control characters, slashes
    and backslashes within a segment, empty segments, `.` and `..`, and names with a dot at their beginning unless
    they are served or `.well-known` in the first place. `prefix` has to be there, and is taken away."""
    if not raw_path.startswith(b"/") or _BROKEN_ENCODING(raw_path):
        return None
    try:
        segments = [unquote_to_bytes(segment).decode() for segment in raw_path[1:].split(b"/")]
    except UnicodeDecodeError:
        return None
    if prefix:
        if tuple(segments[: len(prefix)]) != prefix:
            return None
        segments = segments[len(prefix) :]
        if not segments:
            return ROOT
    rest = segments[1:] if segments[0] == WELL_KNOWN else segments
    # What follows the last slash may be empty: a folder is meant.
    if all(_is_name(segment, is_hidden_served) for segment in (rest if rest and rest[-1] else rest[:-1])):
        return "/".join(segments)
    return None


def _is_name(segment: str, is_hidden_served: bool) -> bool:
    if segment in ("", ".", "..") or _FORBIDDEN(segment):
        return False
    return is_hidden_served or not segment.startswith(".")
