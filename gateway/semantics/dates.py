"""Dates in header fields: the three forms of RFC 9110 5.6.7 are read, the first of them is written."""

from __future__ import annotations

import re
import time
from calendar import timegm
from functools import lru_cache

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH = {name: number for number, name in enumerate(_MONTHS, 1)}
_DAY_NAMES = b"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_NAMES = b"(" + b"|".join(_MONTHS) + b")"
_CLOCK = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"

_IMF = re.compile(_DAY_NAMES + rb", ([0-9]{2}) " + _NAMES + rb" ([0-9]{4}) " + _CLOCK + rb" GMT").fullmatch
_RFC850 = re.compile(
    rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([0-9]{2})-" + _NAMES + rb"-([0-9]{2}) " + _CLOCK + rb" GMT"
).fullmatch
_ASCTIME = re.compile(_DAY_NAMES + b" " + _NAMES + rb" ([ 0-9][0-9]) " + _CLOCK + rb" ([0-9]{4})").fullmatch

_YEARS_AHEAD = 50
_LAST = timegm((9999, 12, 31, 23, 59, 59))
"""A leap second later the year has five digits."""


def parse_date(value: bytes) -> int | None:
    """Seconds since the epoch, or None for what is no date.

    The name of the day is not compared with the date. A year of two digits that would be more than 50 years ahead
    is one of the past century (RFC 9110 5.6.7).
    """
    value = value.strip(b" \t")
    if match := _IMF(value):
        day, month, year, hour, minute, second = match.groups()
        return _seconds(int(year), month, day, hour, minute, second)
    if match := _RFC850(value):
        day, month, year, hour, minute, second = match.groups()
        now = time.gmtime().tm_year
        full = now - now % 100 + int(year)
        return _seconds(full - 100 if full > now + _YEARS_AHEAD else full, month, day, hour, minute, second)
    if match := _ASCTIME(value):
        month, day, hour, minute, second, year = match.groups()
        return _seconds(int(year), month, day, hour, minute, second)
    return None


def _seconds(year: int, month: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes) -> int | None:
    number, days = _MONTH[month], int(day)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 29 + leap - 1 if number == 2 else 30 if number in (4, 6, 9, 11) else 31
    # A leap second is 60 (RFC 9110 5.6.7 allows it).
    if not 1 <= days <= longest or int(hour) > 23 or int(minute) > 59 or int(second) > 60 or year < 1:
        return None
    found = timegm((year, number, days, int(hour), int(minute), int(second)))
    return found if found <= _LAST else None


@lru_cache(256)
def format_date(seconds: int) -> bytes:
    """`Sun, 06 Nov 1994 08:49:37 GMT`, whatever the locale."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[weekday], day, _MONTHS[month - 1], year, hour, minute, second,
    )  # fmt: skip
