"""HTTP dates: three forms are read, one is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.semantics import format_date, parse_date

BIRTHDAY = 784111777


@pytest.mark.parametrize(
    "written",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_all_three_forms_are_read(written):
    assert parse_date(written) == BIRTHDAY


@pytest.mark.parametrize(
    "written",
    [
        b"", b"0", b"-1", b"Sun, 06 Nov 1994 08:49:37", b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 24:49:37 GMT", b"sun, 06 nov 1994 08:49:37 gmt",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1900 08:49:37 GMT", b"Fri, 31 Dec 9999 23:59:60 GMT",
    ],
)  # fmt: skip
def test_what_is_no_date_is_none(written):
    assert parse_date(written) is None


def test_the_twenty_ninth_of_february_and_a_leap_second_are_dates():
    assert parse_date(b"Thu, 29 Feb 2024 23:59:60 GMT") == 1709251200


def test_a_year_of_two_digits_is_not_far_ahead():
    assert format_date(parse_date(b"Sunday, 06-Nov-94 08:49:37 GMT")).startswith(b"Sun, 06 Nov 1994")
    assert format_date(parse_date(b"Sunday, 06-Nov-30 08:49:37 GMT")).split()[3] == b"2030"


@given(st.integers(0, 4_000_000_000))
def test_what_is_written_is_read_again(seconds):
    assert parse_date(format_date(seconds)) == seconds


@given(st.binary(max_size=40))
def test_any_bytes_can_be_read(value):
    parse_date(value)
