"""Conditions: they never raise, `*` is met by anything, and a weak tag never allows a part."""

from __future__ import annotations

from fuzz_input import fields, lines

from gateway.headers import Headers
from gateway.semantics.conditions import Condition, condition, if_range_holds
from gateway.semantics.dates import parse_date


def check(data: bytes) -> None:
    etag, modified, rest = lines(data, 3)
    headers, last_modified = Headers.adopt(fields(rest)), parse_date(modified)
    for tag in (None, etag):
        for is_cache in (False, True):
            read = condition(headers, tag, last_modified, is_cache=is_cache)
            written = condition(headers, tag, last_modified, is_read=False, is_cache=is_cache)
            assert written is not Condition.NOT_MODIFIED
            if b"*" in headers.get_all("if-none-match"):
                assert read is not Condition.HOLDS
            if is_cache:
                assert read is not Condition.FAILED
    given = headers.get("if-range")
    if if_range_holds(headers, etag, last_modified) and given is not None:
        assert not given.strip().startswith(b"W/")
        assert given.strip(b" \t") == etag or parse_date(given) == last_modified
