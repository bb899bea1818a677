"""How old a response is and how long it is fresh (RFC 9111 4.2).

Pure arithmetic on whole seconds since the epoch. Does not decide whether to store or to serve.
"""

from __future__ import annotations

import re

from gateway import Headers, parse_date
from gateway_cache.directives import MOST_SECONDS, Directives, seconds

HEURISTIC_STATUSES = frozenset((200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501))
"""May be held fresh without being told so (RFC 9110 15.1)."""

_NUMBER = re.compile(rb"[0-9]+").fullmatch


def explicit_lifetime(headers: Headers, directives: Directives, date: int) -> int | None:
    """The seconds for which a response says that it is fresh in a shared cache; None if it does not say."""
    for name in (b"s-maxage", b"max-age"):
        lifetime = seconds(directives, name)
        if lifetime is not None:
            return lifetime
    written = headers.get_all(b"expires")
    if not written:
        return None
    # More than one, or none that can be read: stale (RFC 9111 5.3, 4.2.1).
    expires = parse_date(written[0])
    return 0 if expires is None else max(0, min(MOST_SECONDS, expires - date))


def heuristic_lifetime(
    status: int, headers: Headers, directives: Directives, date: int, share: float, most: float
) -> int:
    """A share of the time since the last modification, where guessing is allowed (RFC 9111 4.2.2); else 0."""
    if status not in HEURISTIC_STATUSES and b"public" not in directives:
        return 0
    written = headers.get(b"last-modified")
    modified = parse_date(written) if written is not None else None
    if modified is None or modified >= date:
        return 0
    return int(min(most, share * (date - modified)))


def initial_age(headers: Headers, date: int, asked: float, came: float) -> float:
    """How old a response was when it came (RFC 9111 4.2.3), asked for and received at these times."""
    apparent = max(0.0, came - date)
    return max(apparent, age_value(headers) + (came - asked))


def age_value(headers: Headers) -> int:
    """The field Age: the first member of a list, and 0 for what is no number (RFC 9111 5.1)."""
    written = headers.get(b"age")
    if written is None:
        return 0
    first = written.partition(b",")[0].strip(b" \t")
    if not _NUMBER(first):
        return 0
    return min(MOST_SECONDS, int(first)) if len(first) < 20 else MOST_SECONDS


__all__ = ["HEURISTIC_STATUSES", "age_value", "explicit_lifetime", "heuristic_lifetime", "initial_age"]
