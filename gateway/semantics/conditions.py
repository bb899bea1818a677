"""Conditional requests (RFC 9110 13): what a request's preconditions come to for a representation."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from gateway.semantics.dates import parse_date

if TYPE_CHECKING:
    from gateway.headers import Headers

_TAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


class Condition(Enum):
    """What becomes of a request."""

    HOLDS = 200
    """It is carried out."""
    NOT_MODIFIED = 304
    FAILED = 412


def condition(
    headers: Headers, etag: bytes | None, last_modified: int | None, *, is_read: bool = True, is_cache: bool = False
) -> Condition:
    """Evaluate a request's preconditions in the order of RFC 9110 13.2.2.

    `etag` is as it stands in the field, `last_modified` in seconds since the epoch; None for what is not known.
    `is_read` is true for GET and HEAD. If-Match and If-Unmodified-Since are no business of caches (RFC 9111 4.3.2).
    """
    if not is_cache:
        wanted = headers.get_all(b"if-match")
        if wanted:
            if not _lists(wanted, etag, weak=False):
                return Condition.FAILED
        elif (since := _date(headers, b"if-unmodified-since")) is not None and (
            last_modified is None or last_modified > since
        ):
            return Condition.FAILED
    unwanted = headers.get_all(b"if-none-match")
    if unwanted:
        if _lists(unwanted, etag, weak=True):
            return Condition.NOT_MODIFIED if is_read else Condition.FAILED
    elif (
        is_read
        and (since := _date(headers, b"if-modified-since")) is not None
        and last_modified is not None
        and last_modified <= since
    ):
        return Condition.NOT_MODIFIED
    return Condition.HOLDS


def if_range_holds(
    headers: Headers, etag: bytes | None, last_modified: int | None, date: int | None = None
) -> bool:
    """Whether a Range may be answered with a part: no If-Range, or one that names what we have (RFC 9110 13.1.5).

    A date counts only as a strong validator: `date`, when the response was made, is at least a second later
    (RFC 9110 8.8.2.2); without it we are the origin, whose word it is.
    """
    given = headers.get(b"if-range")
    if given is None:
        return True
    if b'"' in given:
        return etag is not None and is_same_strongly(given.strip(b" \t"), etag)
    seconds = parse_date(given)
    if seconds is None or seconds != last_modified:
        return False
    return date is None or date >= last_modified + 1


def is_same_strongly(one: bytes, other: bytes) -> bool:
    """RFC 9110 8.8.3.2: equal, and neither is weak."""
    return one == other and not one.startswith(b"W/")


def is_same_weakly(one: bytes, other: bytes) -> bool:
    """RFC 9110 8.8.3.2: equal but for the weakness."""
    return one.removeprefix(b"W/") == other.removeprefix(b"W/")


def _lists(values: list[bytes], etag: bytes | None, *, weak: bool) -> bool:
    if any(value.strip(b" \t") == b"*" for value in values):
        return True
    if etag is None:
        return False
    same = is_same_weakly if weak else is_same_strongly
    return any(same(tag, etag) for value in values for tag in _TAG.findall(value))


def _date(headers: Headers, name: bytes) -> int | None:
    """The date of a field; None for one that is absent, repeated or malformed: then it does not count."""
    values = headers.get_all(name)
    return parse_date(values[0]) if len(values) == 1 else None
