"""Whether a response's Content-Type is one of those to encode.

Owns patterns and remembers answers. Does not know what is done about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MOST_REMEMBERED = 256


class MediaTypes(dict[bytes | None, bool]):
    """Content-Type, as it came → whether a pattern matches it: `types[b"text/html; charset=utf-8"]`.

    No field at all is None, and no match.
    """

    # hot: plugins. A dictionary itself, so that a type which was seen before costs one look-up.

    def __init__(self, patterns: Iterable[str]) -> None:
        super().__init__()
        expressions = [re.escape(pattern.encode()).replace(rb"\*", rb"[^/]*") for pattern in patterns]
        self._match = re.compile(rb"|".join(expressions) or rb"(?!)").fullmatch

    def __missing__(self, content_type: bytes | None) -> bool:
        essence = (content_type or b"").partition(b";")[0].strip(b" \t").lower()
        answer = self._match(essence) is not None
        if len(self) >= _MOST_REMEMBERED:  # what endpoints make up must not fill the memory
            self.clear()
        self[content_type] = answer
        return answer

    def __repr__(self) -> str:
        return f"<MediaTypes: {len(self)} remembered>"
