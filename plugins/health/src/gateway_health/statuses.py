"""Sets of HTTP statuses as people write them: `"200-299,401"`.

Owns the notation. Does not know what a status means to anybody.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_RANGE = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", re.ASCII).fullmatch


def parse_statuses(text: str) -> frozenset[int]:
    """`"200-299,401"` → the statuses; an empty text means none. Raises ValueError that says what was expected."""
    found: set[int] = set()
    for part in text.split(",") if text.strip() else ():
        match = _RANGE(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f'expected statuses such as "200-299,401", not {text!r}')
        found.update(range(first, last + 1))
    return frozenset(found)


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _checked(text: str) -> str:
    parse_statuses(text)
    return text


_SCHEMA = {"type": ["string", "integer"], "description": 'statuses and ranges of them: "200-299,401"'}

Statuses = Annotated[str, BeforeValidator(_as_text), AfterValidator(_checked), WithJsonSchema(_SCHEMA)]
"""Statuses and ranges of them, written as `"200-299,401"`, or one as a number."""
