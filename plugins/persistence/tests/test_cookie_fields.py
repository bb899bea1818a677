"""Cookies in header fields: any bytes are taken, and what is not ours stays as it is."""

from __future__ import annotations

import pytest
from gateway_persistence.cookie_fields import (
    change_cookies,
    change_set_cookies,
    cookie_value,
    set_cookie_value,
    take_cookies,
)
from hypothesis import given
from hypothesis import strategies as st

ANY = st.binary(max_size=60) | st.lists(
    st.sampled_from([b"gw", b"=", b";", b" ", b"a", b"x=1", b"\xff", b'"', b","]), max_size=12
).map(b"".join)
FIELDS = st.lists(st.tuples(st.sampled_from([b"cookie", b"set-cookie", b"host"]), ANY), max_size=5)


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        (b"gw=1", None, [b"1"]),
        (b"gw=1; a=2", b"a=2", [b"1"]),
        (b"a=2; gw=1", b"a=2", [b"1"]),
        (b"a=2; gw=1; b=3", b"a=2; b=3", [b"1"]),
        (b"a=2;gw=1;b=3", b"a=2;b=3", [b"1"]),
        (b"gw=1; gw=2", None, [b"1", b"2"]),
        (b"gw=a=b; c=d", b"c=d", [b"a=b"]),
        (b" gw = 1 ;", None, [b"1"]),
        (b"gw; a=1", b"a=1", [b""]),
        (b"agw=1; gwx=2; GW=3", b"agw=1; gwx=2; GW=3", []),
        (b"a=1;; b=2", b"a=1;; b=2", []),
        (b"", b"", []),
    ],
)
def test_our_cookies_are_taken_out_and_the_others_stay(before, after, taken):
    fields = [(b"host", b"a"), (b"cookie", before), (b"accept", b"*/*")]
    assert take_cookies(fields, b"gw", {b"gw"}) == [(b"gw", value) for value in taken]
    kept = [] if after is None else [(b"cookie", after)]
    assert fields == [(b"host", b"a"), *kept, (b"accept", b"*/*")]


def test_several_cookie_fields_are_looked_through():
    fields = [(b"cookie", b"a=1"), (b"cookie", b"gw=1"), (b"cookie", b"gw=2; b=2")]
    assert take_cookies(fields, b"gw", {b"gw"}) == [(b"gw", b"1"), (b"gw", b"2")]
    assert fields == [(b"cookie", b"a=1"), (b"cookie", b"b=2")]


@given(FIELDS)
def test_any_bytes_can_be_looked_through(fields):
    before = list(fields)
    cookie_value(fields, b"gw")
    set_cookie_value(fields, b"gw")
    assert fields == before
    taken = take_cookies(fields, b"gw", {b"gw"})
    if not taken:
        assert fields == before
    assert take_cookies(fields, b"gw", {b"gw"}) == []
    assert [field for field in fields if field[0] != b"cookie"] == [
        field for field in before if field[0] != b"cookie"
    ]


@given(FIELDS)
def test_changing_and_changing_back_is_no_change(fields):
    before = [value.replace(b" ", b"") for _, value in fields]
    change_cookies(fields, b"gw", lambda value: b"P" + value)
    change_set_cookies(fields, b"gw", lambda value: b"P" + value)
    change_cookies(fields, b"gw", lambda value: value[1:])
    change_set_cookies(fields, b"gw", lambda value: value[1:])
    assert [value.replace(b" ", b"") for _, value in fields] == before


def test_the_value_of_a_cookie_is_found_on_both_ways():
    assert cookie_value([(b"cookie", b"a=1; sid=x=y; sid=z")], b"sid") == b"x=y"
    assert cookie_value([(b"cookie", b"asid=1"), (b"x", b"sid=2")], b"sid") is None
    assert set_cookie_value([(b"set-cookie", b"sid=1; Path=/"), (b"set-cookie", b"sid=2")], b"sid") == b"2"
    assert set_cookie_value([(b"set-cookie", b"a=sid=1; x=sid"), (b"cookie", b"sid=2")], b"sid") is None
