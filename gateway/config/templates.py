"""Paths with named parts and texts with names in braces, as routes are written with them.

Owns the notation and its mistakes. Does not match a path and does not fill a text in (`gateway.routing`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII).fullmatch
_IN_BRACES = re.compile(r"\{([^{}]*)\}")


class Part(NamedTuple):
    """A name in braces: one segment of a path, or `:path`, all that is left of it."""

    name: str
    takes_rest: bool = False


def parse_pattern(text: str) -> tuple[str | Part, ...]:
    """`/users/{id}/{rest:path}` → its segments: literal text, and parts by name.

    A last segment that is empty stands for a slash at the end. Raises ValueError.
    """
    if not text.startswith("/"):
        raise ValueError(f'a pattern begins with "/", not {text!r}')
    segments = [_segment(segment, text) for segment in text[1:].split("/")]
    for segment in segments[:-1]:
        if isinstance(segment, Part) and segment.takes_rest:
            raise ValueError(f"{{{segment.name}:path}} takes all that is left: it can only come last, in {text!r}")
    if any(segment in ("", ".", "..") for segment in segments[:-1]) or segments[-1] in (".", ".."):
        raise ValueError(f"paths are matched without empty and dot segments: {text!r} can never match")
    names = [segment.name for segment in segments if isinstance(segment, Part)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{{{name}}} stands twice in {text!r}")
    return tuple(segments)


def _segment(segment: str, text: str) -> str | Part:
    if "{" not in segment and "}" not in segment:
        return segment
    found = _IN_BRACES.fullmatch(segment)
    name, colon, kind = found[1].partition(":") if found else ("", "", "")
    if not _NAME(name) or (colon and kind != "path"):
        raise ValueError(
            f'a named part is a whole segment, "{{id}}" or "{{rest:path}}", not {segment!r} in {text!r}'
        )
    return Part(name, takes_rest=bool(colon))


def parse_template(text: str) -> tuple[str | Part, ...]:
    """`https://{host}{path}` → literal text, and names. Raises ValueError."""
    pieces: list[str | Part] = []
    for place, piece in enumerate(_IN_BRACES.split(text)):
        if place % 2:
            if not _NAME(piece):
                raise ValueError(f"expected a name in braces, not {{{piece}}}, in {text!r}")
            pieces.append(Part(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError(f"a brace that is not closed or not opened, in {text!r}")
        elif piece:
            pieces.append(piece)
    return tuple(pieces)


def names_of(pieces: tuple[str | Part, ...]) -> set[str]:
    """The names that stand in a pattern or template."""
    return {piece.name for piece in pieces if isinstance(piece, Part)}
