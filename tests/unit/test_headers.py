"""Headers: order and repeats are kept, names are lower-case, and no value becomes a field of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcxyzABCXYZ", min_size=1, max_size=12)
VALUE = st.binary(max_size=20).filter(lambda raw: not set(raw) & set(b"\r\n\0"))
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=8)


def test_fields_keep_their_order_and_repeats():
    headers = Headers([("Set-Cookie", "a=1"), ("X-A", "1"), ("set-cookie", "b=2")])
    assert list(headers) == [(b"set-cookie", b"a=1"), (b"x-a", b"1"), (b"set-cookie", b"b=2")]
    assert headers.get_all("SET-COOKIE") == [b"a=1", b"b=2"]


def test_get_gives_the_first_value_and_else_the_default():
    headers = Headers({"x-a": "1"})
    assert headers.get("X-A") == b"1"
    assert headers.get(b"x-b") is None
    assert headers.get("x-b", b"none") == b"none"


def test_text_is_latin_1():
    headers = Headers([(b"x-a", b"caf\xe9")])
    assert headers.text("x-a") == "café"
    assert headers.text("x-b", "tea") == "tea"


def test_set_replaces_every_value_where_the_first_stood():
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")])
    headers.set("A", "9")
    assert headers.raw == [(b"a", b"9"), (b"b", b"2"), (b"c", b"4")]


def test_set_appends_what_was_not_there():
    headers = Headers({"a": "1"})
    headers.set("b", b"2")
    assert headers.raw == [(b"a", b"1"), (b"b", b"2")]


def test_set_default_keeps_what_is_there_and_says_what_holds():
    headers = Headers({"a": "1"})
    assert headers.set_default("A", "2") == b"1"
    assert headers.set_default("B", "2") == b"2"
    assert headers.raw == [(b"a", b"1"), (b"b", b"2")]


def test_set_default_takes_an_empty_value_for_a_value():
    assert Headers({"a": ""}).set_default("a", "2") == b""


def test_remove_takes_every_value_and_says_whether_there_was_one():
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    assert headers.remove("a")
    assert not headers.remove("a")
    assert headers.raw == [(b"b", b"2")]


def test_a_field_is_written_read_and_deleted_like_an_item():
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    headers["A"] = "9"
    assert headers["a"] == b"9"
    del headers["B"]
    assert headers.raw == [(b"a", b"9")]


def test_an_item_that_is_not_there_cannot_be_read_but_deleted():
    headers = Headers()
    with pytest.raises(KeyError, match="x-a"):
        headers["x-a"]
    del headers["x-a"]


def test_an_item_is_checked_as_everything_that_is_set():
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        Headers()["x-a"] = "1\r\nx-b: 2"


def test_a_copy_is_independent():
    headers = Headers({"a": "1"})
    other = headers.copy()
    other.add("b", "2")
    assert len(headers) == 1
    assert other == Headers({"a": "1", "b": "2"})


def test_names_are_found_in_any_case_and_only_names_are():
    headers = Headers({"a": "1"})
    assert "A" in headers
    assert b"a" in headers
    assert 1 not in headers


def test_an_adopted_list_is_changed_in_place():
    raw = [(b"a", b"1"), (b"b", b"2")]
    headers = Headers.adopt(raw)
    headers.set("a", "3")
    headers.remove("b")
    assert raw == [(b"a", b"3")]


def test_the_repr_shows_names_and_no_values():
    assert repr(Headers({"authorization": "secret"})) == "<Headers authorization>"


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", b"\n"])
@pytest.mark.parametrize("method", ["add", "set", "set_default"])
def test_a_value_that_would_end_its_field_is_refused(method, value):
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        getattr(Headers(), method)("x-a", value)


@pytest.mark.parametrize("name", ["", "x a", "x:", "x\r\n", "x\0", "é", "(x)", b"x\n"])
@pytest.mark.parametrize("method", ["add", "set", "set_default"])
def test_a_name_that_is_no_token_is_refused(method, name):
    with pytest.raises(ValueError, match="not a token"):
        getattr(Headers(), method)(name, "1")


@given(FIELDS)
def test_what_goes_in_comes_out(fields):
    headers = Headers(fields)
    assert list(headers) == [(name.lower().encode(), value) for name, value in fields]
    assert Headers(headers) == headers


@given(FIELDS, TOKEN, VALUE)
def test_set_leaves_the_other_fields_as_they_are(fields, name, value):
    headers = Headers(fields)
    wanted = name.lower().encode()
    others = [field for field in headers if field[0] != wanted]
    headers.set(name, value)
    assert headers.get_all(name) == [value]
    assert [field for field in headers if field[0] != wanted] == others


@given(st.binary(max_size=30))
def test_a_value_is_taken_as_it_is_or_refused(value):
    try:
        headers = Headers([("x", value)])
    except ValueError:
        assert set(value) & set(b"\r\n\0")
    else:
        assert headers.raw == [(b"x", value)]
