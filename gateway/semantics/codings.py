"""Which content coding a client likes best (RFC 9110 12.5.3).

What is malformed in a field is passed over, and the rest of the field counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

IDENTITY = b"identity"
_BEST = 1000

_ELEMENT = re.compile(
    rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=([01](?:\.[0-9]{0,3})?)[ \t]*)?"
).fullmatch
MAX_REMEMBERED = 256
"""Longer fields are read anew each time: clients could fill the memory with them."""
_ALIASES = {b"x-gzip": b"gzip", b"x-compress": b"compress"}


def accepted_codings(values: Sequence[bytes]) -> Mapping[bytes, int] | None:
    """Each coding that the fields Accept-Encoding name, in lower case, with its q in thousandths.

    None if there is no field at all: then anything is acceptable. Of a coding that is named twice the first counts.
    """
    if not values:
        return None
    text = b",".join(values)
    return _remembered(text) if len(text) <= MAX_REMEMBERED else _accepted(text)


def _accepted(text: bytes) -> Mapping[bytes, int]:
    accepted: dict[bytes, int] = {}
    for element in text.split(b","):
        match = _ELEMENT(element)
        if match is not None:
            coding = match[1].lower()
            accepted.setdefault(_ALIASES.get(coding, coding), _BEST if match[2] is None else _thousandths(match[2]))
    return accepted


_remembered = lru_cache(256)(_accepted)


def _thousandths(text: bytes) -> int:
    return min(_BEST, round(float(text) * _BEST))


def quality(accepted: Mapping[bytes, int] | None, coding: bytes) -> int:
    """How much a coding is wanted, in thousandths; 0 if it is refused."""
    if accepted is None:
        return _BEST
    if coding in accepted:
        return accepted[coding]
    if coding == IDENTITY:  # acceptable unless it is refused, by itself or by `*;q=0`; less than what was asked for
        return 1 if accepted.get(b"*", 1) else 0
    return accepted.get(b"*", 0)


def choose_coding(values: Sequence[bytes], offered: Sequence[bytes]) -> bytes | None:
    """The offered coding that the client likes best; of equals, the one that is offered first.

    `values` are the fields Accept-Encoding. What is not encoded is offered as `identity`, which a client likes less
    than what it names, unless it names that, too. None if all of them are refused.
    """
    accepted = accepted_codings(values)
    best, most = None, 0
    for coding in offered:
        wanted = quality(accepted, coding)
        if wanted > most:
            best, most = coding, wanted
    return best
