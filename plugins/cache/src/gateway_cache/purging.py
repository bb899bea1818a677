"""What is to be forgotten, as a message on the bus that every worker understands.

Owns the topic and its messages. Does not know where responses are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from gateway_cache.entry import Entry

TOPIC = "cache.purge"

Condition: TypeAlias = Callable[[bytes, Entry | None], bool]
"""Whether a response to a URL goes. Without the response, which may be on its way still: whether one could."""


def of_urls(urls: Iterable[bytes]) -> dict[str, Any]:
    """All responses to these URLs, as keys have them."""
    return {"urls": sorted(url.decode("latin-1") for url in urls)}


def condition_of(message: dict[str, Any]) -> Condition:
    """What a message means. One that is not understood means nothing."""
    match message:
        case {"urls": list(urls)}:
            wanted = frozenset(str(url).encode("latin-1") for url in urls)
            return lambda url, entry: url in wanted
        case {"prefix": str(prefix)}:
            start = prefix.encode("latin-1", "replace")
            return lambda url, entry: url.startswith(start)
        case {"tag": str(tag)}:
            label = tag.encode("latin-1", "replace")
            return lambda url, entry: entry is None or label in entry.tags
        case {"all": True}:
            return lambda url, entry: True
    return lambda url, entry: False


__all__ = ["TOPIC", "Condition", "condition_of", "of_urls"]
