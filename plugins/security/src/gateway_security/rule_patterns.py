"""Many patterns looked for at once, in a time that grows with the text alone: RE2.

Owns how patterns are compiled, and that a search that RE2 gave up does not pass for one that found nothing.
Patterns and texts are bytes: no byte that is not UTF-8 hides what stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import re2  # type: ignore[import-untyped]

MOST_MEMORY = 64 * 1024 * 1024
"""What RE2 may use for a set. It takes little of that for as long as texts are harmless."""


def check_pattern(pattern: str) -> str:
    """The pattern itself. Raises ValueError for what is none, or would match everything."""
    try:
        compiled = re2.compile(pattern.encode(), _options())
    except re2.error as error:
        raise ValueError(f"{pattern!r} is no regular expression of RE2: {_said(error)}") from None
    if compiled.search(b"") and compiled.search(b"\x01"):
        raise ValueError(f"{pattern!r} matches everything")
    return pattern


class PatternSet:
    """Patterns that are looked for together, each with its number."""

    def __init__(self, patterns: Sequence[tuple[str, bool]], *, by_line: bool = False) -> None:
        """Pairs of a pattern and whether case matters; `by_line`: `^` and `$` are those of lines, which a match
        does not leave. Raises ValueError if they are too many for RE2."""
        options = _options(by_line)
        texts = [_flags(is_case_sensitive, by_line) + pattern.encode() for pattern, is_case_sensitive in patterns]
        found = re2.Set.SearchSet(options)
        try:
            self._each = [re2.compile(text, options) for text in texts]
            for text in (*texts, b""):
                found.Add(text)
            found.Compile()
        except re2.error as error:
            raise ValueError(f"{len(texts)} patterns are too large together: {_said(error)}") from None
        # The empty pattern, which comes last, is found in every text: a search without it ran out of memory, and
        # RE2 does not tell that from one that found nothing.
        self._search = found.Match

    def found_in(self, text: bytes) -> Sequence[int]:
        """The numbers of the patterns that match, in order."""
        # hot: l7-balancer
        found = self._search(text)
        if found is None:
            return [number for number, pattern in enumerate(self._each) if pattern.search(text)]
        if len(found) == 1:
            return ()
        numbers: list[int] = sorted(found)
        return numbers[:-1]

    def __repr__(self) -> str:
        return f"<PatternSet of {len(self._each)}>"


def _options(by_line: bool = False) -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MOST_MEMORY
    options.never_capture = True
    options.log_errors = False
    options.dot_nl = not by_line
    options.never_nl = by_line
    return options


def _flags(is_case_sensitive: bool, by_line: bool) -> bytes:
    flags = b"" if is_case_sensitive else b"i"
    flags += b"m" if by_line else b""
    return b"(?" + flags + b")" if flags else b""


def _said(error: Exception) -> str:
    said = error.args[0]
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
