"""CDN-Cache-Control, a structured field: malformed ones count for nothing, and none raises."""

from __future__ import annotations

from fuzz_input import fields
from gateway_cache.directives import MOST_SECONDS, field_names, parse_targeted, seconds


def check(data: bytes) -> None:
    values = [value for name, value in fields(data) if name == b"cdn-cache-control"]
    found = parse_targeted(values)
    if found is not None:
        assert found
        assert all(isinstance(name, bytes) and isinstance(value, bytes | None) for name, value in found.items())
        assert all(0 <= (seconds(found, name) or 0) <= MOST_SECONDS for name in found)
        field_names(found, b"private")
