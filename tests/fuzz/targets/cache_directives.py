"""Cache-Control: no restricting word is lost, whatever is broken around it, and times stay within bounds."""

from __future__ import annotations

from fuzz_input import fields
from gateway_cache.directives import MOST_SECONDS, field_names, parse_directives, seconds
from gateway_cache.freshness import age_value, explicit_lifetime

from gateway.headers import Headers

NOON = 1714564800


def check(data: bytes) -> None:
    headers = Headers.adopt(fields(data))
    values = headers.get_all("cache-control")
    found = parse_directives(values)
    assert len(found) <= sum(map(len, values))
    assert all(name == name.lower() and name for name in found)
    assert all(0 <= (seconds(found, name) or 0) <= MOST_SECONDS for name in found)
    assert 0 <= (explicit_lifetime(headers, found, NOON) or 0) <= MOST_SECONDS
    assert 0 <= age_value(headers) <= MOST_SECONDS
    assert all(name == name.strip(b" \t").lower() for name in field_names(found, b"no-cache"))
    if not any(b'"' in value for value in values):
        words = {word.strip(b" \t").lower() for value in values for word in value.split(b",")}
        for word in (b"no-store", b"private", b"no-cache"):
            assert word not in words or word in found
