"""Directives, ages and selecting fields: whatever is written can be read."""

from __future__ import annotations

import pytest
from gateway_cache.directives import field_names, parse_directives, parse_targeted, seconds
from gateway_cache.freshness import age_value, explicit_lifetime, heuristic_lifetime, initial_age
from gateway_cache.keys import Keys
from gateway_cache.selecting import normal_codings, selecting_values, vary_names
from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers, format_date

TEXT = st.binary(max_size=60) | st.text('max-age=0123,;" \\no-store', max_size=60).map(str.encode)
SECONDS = st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ([b"max-age=60"], {b"max-age": b"60"}),
        ([b"No-Store , MAX-AGE = 5"], {b"no-store": None, b"max-age": b"5"}),
        ([b'private="a, b", x="q\\"q"'], {b"private": b"a, b", b"x": b'q"q'}),
        ([b"a", b"b=1"], {b"a": None, b"b": b"1"}),
        ([b"a=1, a=2"], {b"a": b"1"}),
        ([b'a="open, b'], {b"b": None}),
        ([b"a b, c"], {b"c": None}),
        ([b",,=,;"], {}),
        ([], {}),
    ],
)
def test_directives_are_read_as_far_as_they_can_be(written, found):
    assert parse_directives(written) == found


def test_the_fields_that_a_directive_is_about():
    directives = parse_directives([b'private="Set-Cookie,  X-User ,", no-cache'])
    assert field_names(directives, b"private") == {b"set-cookie", b"x-user"}
    assert field_names(directives, b"no-cache") == frozenset()


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ([b"max-age=60, must-revalidate"], {b"max-age": b"60", b"must-revalidate": None}),
        ([b"max-age=60;x=1"], {b"max-age": b"60"}),
        ([b"no-store=?0, max-age=1"], {b"max-age": b"1"}),
        ([b"max-age=1", b"no-cache"], {b"max-age": b"1", b"no-cache": None}),
        ([b"max-age=1.5"], {b"max-age": b""}),
        ([b""], None),
        ([b"MAX-AGE=1"], None),
        ([b"max-age="], None),
        ([], None),
    ],
)
def test_a_targeted_field_is_a_structured_dictionary_or_does_not_count(written, found):
    assert parse_targeted(written) == found


@given(st.lists(TEXT, max_size=3))
def test_any_bytes_can_be_read(values):
    directives = parse_directives(values)
    for name in directives:
        found = seconds(directives, name)
        assert found is not None
        assert 0 <= found <= 2**31
        field_names(directives, name)
    parse_targeted(values)
    vary_names(Headers.adopt([(b"vary", value) for value in values]))


@given(SECONDS, SECONDS, SECONDS, st.integers(0, 1000))
def test_an_age_is_never_less_than_what_is_known(date, came, age, travel):
    headers = Headers([("age", str(age))])
    found = initial_age(headers, date, came - travel, came)
    assert found >= min(age, 2**31)
    assert found >= came - date
    assert found >= travel


@given(SECONDS, SECONDS)
def test_a_lifetime_is_never_negative_and_max_age_wins_over_expires(date, expires):
    headers = Headers([("expires", format_date(expires % 4_000_000_000))])
    assert 0 <= explicit_lifetime(headers, {}, date) <= 2**31
    assert explicit_lifetime(headers, {b"max-age": b"7"}, date) == 7
    assert explicit_lifetime(headers, {b"max-age": b"7", b"s-maxage": b"9"}, date) == 9


@given(st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000), st.floats(0, 1), st.floats(0, 1e6))
def test_a_guess_is_a_share_of_the_time_since_the_last_change(date, modified, share, most):
    headers = Headers([("last-modified", format_date(modified))])
    found = heuristic_lifetime(200, headers, {}, date, share, most)
    assert 0 <= found <= max(0, share * (date - modified))
    assert found <= most


@pytest.mark.parametrize(
    ("value", "found"),
    [("5", 5), ("5, 6", 5), ("-5", 0), ("5.5", 0), ("", 0), ("x", 0), ("9" * 30, 2**31), (" 7 ", 7)],
)
def test_an_age_field_is_read_up_to_its_comma(value, found):
    assert age_value(Headers([("age", value)])) == found


@given(st.lists(st.sampled_from([b"gzip", b"br", b"zstd", b"deflate", b"identity", b"*", b"x"]), max_size=5))
def test_the_order_of_equally_wanted_codings_does_not_matter(codings):
    assert normal_codings(b", ".join(codings)) == normal_codings(b",".join(sorted(codings)))


@given(st.binary(max_size=40))
def test_any_accept_encoding_has_a_normal_form(text):
    normal_codings(text)
    selecting_values((b"accept-encoding", b"accept"), [(b"accept-encoding", text), (b"accept", text)])


def test_keys_of_people_and_of_requests_are_the_same():
    keys = Keys(["utm_*"], is_sorted=True)
    assert keys.of("https", b"A.example:443", b"/x", b"b=2&a=1&utm_q=1") == b"https://a.example/x?a=1&b=2"
    assert keys.of_text("https://a.example/x?a=1&b=2") == b"https://a.example/x?a=1&b=2"
    assert keys.of_text("http://a.example") == b"http://a.example/"
    assert keys.of_reference(b"http://a.example/x/y", b"../z?q") == b"http://a.example/z?q"
    assert keys.of_reference(b"http://a.example/x", b"https://a.example/z") is None
    assert keys.of_reference(b"http://a.example/x", b"http://[") is None
    with pytest.raises(ValueError, match="expected a URL"):
        keys.of_text("a.example/x")
