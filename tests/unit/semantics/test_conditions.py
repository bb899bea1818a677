"""Preconditions: their order, weak and strong comparison, and what is no business of a cache."""

from __future__ import annotations

import pytest

from gateway import Headers
from gateway.semantics import Condition, condition, if_range_holds, parse_date

BEFORE, THEN, LATER = (b"Sun, 06 Nov 1994 08:49:%02d GMT" % second for second in (36, 37, 38))
MODIFIED = parse_date(THEN)
HOLDS, NOT_MODIFIED, FAILED = Condition.HOLDS, Condition.NOT_MODIFIED, Condition.FAILED


@pytest.mark.parametrize(
    ("fields", "etag", "found"),
    [
        ([], b'"a"', HOLDS),
        ([("if-none-match", b'"a"')], b'"a"', NOT_MODIFIED),
        ([("if-none-match", b'W/"a"')], b'"a"', NOT_MODIFIED),
        ([("if-none-match", b'"a"')], b'W/"a"', NOT_MODIFIED),
        ([("if-none-match", b'"b", "a"')], b'"a"', NOT_MODIFIED),
        ([("if-none-match", b'"b"'), ("if-none-match", b'"a"')], b'"a"', NOT_MODIFIED),
        ([("if-none-match", b'"a,b"')], b'"a,b"', NOT_MODIFIED),
        ([("if-none-match", b"*")], b'"a"', NOT_MODIFIED),
        ([("if-none-match", b"*")], None, NOT_MODIFIED),
        ([("if-none-match", b'"b"')], b'"a"', HOLDS),
        ([("if-none-match", b'"a"')], None, HOLDS),
        ([("if-none-match", b'"b"'), ("if-modified-since", LATER)], b'"a"', HOLDS),
        ([("if-modified-since", THEN)], None, NOT_MODIFIED),
        ([("if-modified-since", LATER)], None, NOT_MODIFIED),
        ([("if-modified-since", BEFORE)], None, HOLDS),
        ([("if-modified-since", b"yesterday")], None, HOLDS),
        ([("if-match", b'"a"')], b'"a"', HOLDS),
        ([("if-match", b'"b"')], b'"a"', FAILED),
        ([("if-match", b'W/"a"')], b'W/"a"', FAILED),
        ([("if-match", b"*")], b'"a"', HOLDS),
        ([("if-match", b'"a"'), ("if-unmodified-since", BEFORE)], b'"a"', HOLDS),
        ([("if-match", b'"a"'), ("if-none-match", b'"a"')], b'"a"', NOT_MODIFIED),
        ([("if-unmodified-since", BEFORE)], None, FAILED),
        ([("if-unmodified-since", THEN)], None, HOLDS),
    ],
)
def test_preconditions_come_to_what_the_rfc_says(fields, etag, found):
    assert condition(Headers(fields), etag, MODIFIED) is found


def test_an_unsafe_method_fails_where_a_read_is_not_modified():
    headers = Headers([("if-none-match", b"*")])
    assert condition(headers, b'"a"', None, is_read=False) is FAILED
    assert condition(Headers([("if-modified-since", LATER)]), None, MODIFIED, is_read=False) is HOLDS


def test_a_cache_leaves_the_preconditions_of_the_origin_to_it():
    headers = Headers([("if-match", b'"b"'), ("if-none-match", b'"a"')])
    assert condition(headers, b'"a"', MODIFIED, is_cache=True) is NOT_MODIFIED
    assert condition(Headers([("if-unmodified-since", BEFORE)]), None, MODIFIED, is_cache=True) is HOLDS


@pytest.mark.parametrize(
    ("given", "etag", "date", "holds"),
    [
        (None, b'"a"', None, True),
        (b'"a"', b'"a"', None, True),
        (b'W/"a"', b'W/"a"', None, False),
        (b'"b"', b'"a"', None, False),
        (THEN, None, None, True),
        (LATER, None, None, False),
        (THEN, None, MODIFIED, False),
        (THEN, None, MODIFIED + 1, True),
        (b"nonsense", b'"a"', None, False),
    ],
)
def test_if_range_compares_strongly(given, etag, date, holds):
    headers = Headers([("if-range", given)] if given is not None else [])
    assert if_range_holds(headers, etag, MODIFIED, date) is holds
