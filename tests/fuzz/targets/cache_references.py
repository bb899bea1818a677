"""Location of a response that makes the cache forget: it names nothing of another origin, and never raises."""

from __future__ import annotations

from fuzz_input import lines, path
from gateway_cache.keys import Keys

KEYS = Keys(["utm_*"], is_sorted=True)


def check(data: bytes) -> None:
    asked, reference = lines(data, 2)
    url = KEYS.of("https", b"www.example.com", path(asked), b"")
    found = KEYS.of_reference(url, reference)
    assert found is None or found.startswith(b"https://www.example.com/")
    assert found is None or b" " not in found
