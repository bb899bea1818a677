"""What is to be forgotten: as an operator or a client says it, as a message on the bus, and as a condition.

Owns the topic and its messages. Does not know where responses are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from gateway import Request
from gateway_cache.entry import Entry, tags_of
from gateway_cache.keys import Keys

TOPIC = "cache.purge"

Message: TypeAlias = Mapping[str, list[str] | bool]
"""`urls` and `prefixes` as keys have them, `tags`, and `all`."""

Condition: TypeAlias = Callable[[bytes, Entry | None], bool]
"""Whether a response to a URL goes. Without the response, which may be on its way still: whether one could."""


def of_urls(urls: Iterable[bytes]) -> Message:
    """All responses to these URLs."""
    return {"urls": sorted(url.decode("latin-1") for url in urls)}


def of_command(arguments: Mapping[str, Any], keys: Keys) -> Message:
    """What `gateway purge` asks for. Raises ValueError for what is no URL."""
    return {
        "urls": [keys.of_text(str(url)).decode("latin-1") for url in arguments.get("urls", ())],
        "prefixes": [keys.of_text(str(url)).decode("latin-1") for url in arguments.get("prefixes", ())],
        "tags": [str(tag) for tag in arguments.get("tags", ())],
        "all": bool(arguments.get("all")),
    }


def of_request(request: Request, keys: Keys) -> Message:
    """What a request PURGE asks for: the tags that it names, else its URL; all that begins so with a `*` behind."""
    tags = tags_of(request.headers.raw)
    if tags:
        return {"tags": sorted(tag.decode("latin-1") for tag in tags)}
    host, path = request.headers.get(b"host", b"") or b"", request.raw_path
    is_prefix = path.endswith(b"*") and not request.query
    path = path.removesuffix(b"*") if is_prefix else path
    found = [keys.of(scheme, host, path, request.query) for scheme in _SCHEMES]
    return {"prefixes" if is_prefix else "urls": [key.decode("latin-1") for key in found]}


def condition_of(message: Message) -> Condition:
    """What a message means."""
    urls = frozenset(_bytes(message, "urls"))
    prefixes = tuple(_bytes(message, "prefixes"))
    tags = frozenset(_bytes(message, "tags"))
    is_all = bool(message.get("all"))

    def goes(url: bytes, entry: Entry | None) -> bool:
        if is_all or url in urls or (prefixes and url.startswith(prefixes)):
            return True
        return bool(tags) and (entry is None or not tags.isdisjoint(entry.tags))

    return goes


_SCHEMES = ("http", "https")


def _bytes(message: Message, key: str) -> list[bytes]:
    listed = message.get(key, [])
    return [str(item).encode("latin-1", "replace") for item in listed] if isinstance(listed, list) else []


__all__ = ["TOPIC", "Condition", "Message", "condition_of", "of_command", "of_request", "of_urls"]
