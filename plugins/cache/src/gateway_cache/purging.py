"""What is to be forgotten: as an operator or a client says it, as a message on the bus, and what that means.

Owns the topic and its messages. Does not know where responses are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from gateway import Exchange, Request, Response, new_id
from gateway_cache.entry import Entry, tags_of
from gateway_cache.keys import Keys

TOPIC = "cache.purge"
SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

Message: TypeAlias = Mapping[str, list[str] | bool | str]
"""`urls` and `prefixes` as keys have them, `tags`, and `all`; `id`, the same wherever it is heard."""


def of_urls(urls: Iterable[bytes]) -> Message:
    """All responses to these URLs. Without an id: nobody else needs to hear of it."""
    return {"urls": sorted(url.decode("latin-1") for url in urls)}


def of_command(arguments: Mapping[str, Any], keys: Keys) -> Message:
    """What `gateway purge` asks for. Raises ValueError for what is no URL."""
    return {
        "urls": [keys.of_text(str(url)).decode("latin-1") for url in arguments.get("urls", ())],
        "prefixes": [keys.of_text(str(url)).decode("latin-1") for url in arguments.get("prefixes", ())],
        "tags": [str(tag) for tag in arguments.get("tags", ())],
        "all": bool(arguments.get("all")),
        "id": str(arguments.get("id") or new_id()),
    }


def of_request(request: Request, keys: Keys) -> Message:
    """What a request PURGE asks for: the tags that it names, else its URL; all that begins so with a `*` behind."""
    tags = tags_of(request.headers.raw)
    if tags:
        return {"tags": sorted(tag.decode("latin-1") for tag in tags), "id": new_id()}
    host, path = request.headers.get(b"host", b"") or b"", request.raw_path
    is_prefix = path.endswith(b"*") and not request.query
    path = path.removesuffix(b"*") if is_prefix else path
    found = [keys.of(scheme, host, path, request.query) for scheme in _SCHEMES]
    return {"prefixes" if is_prefix else "urls": [key.decode("latin-1") for key in found], "id": new_id()}


def of_change(exchange: Exchange, response: Response, keys: Keys) -> Message | None:
    """What an unsafe request that succeeded makes void (RFC 9111 4.4); None for any other."""
    request = exchange.request
    if request.method in SAFE or not 200 <= response.status < 400:
        return None
    url = keys.of_exchange(exchange, dict(request.headers.raw))
    references = (response.headers.get(name) for name in (b"location", b"content-location"))
    others = [keys.of_reference(url, reference) for reference in references if reference is not None]
    return {**of_urls({url, *filter(None, others)}), "id": new_id()}


class Purge:
    """What a message means: which responses go."""

    __slots__ = ("id", "is_all", "message", "prefixes", "tags", "urls")

    def __init__(self, message: Message, devices: tuple[bytes, ...] = (b"",)) -> None:
        """`devices` are what may stand behind a URL in keys: they go all together."""
        self.message = message
        self.id = str(message.get("id") or "")
        """What it is known by everywhere; empty if it is this worker's affair alone."""
        self.urls = frozenset(url + device for url in _bytes(message, "urls") for device in devices)
        self.prefixes = tuple(_bytes(message, "prefixes"))
        self.tags = frozenset(_bytes(message, "tags"))
        self.is_all = bool(message.get("all"))

    @property
    def is_exact(self) -> bool:
        """Whether it is about `urls` alone: then nobody has to look at everything that is stored."""
        return not (self.prefixes or self.tags or self.is_all)

    def takes(self, url: bytes, entry: Entry | None) -> bool:
        """Whether a response to a URL goes; without it, for it may be on its way still, whether it could."""
        if self.is_all or url in self.urls or (self.prefixes and url.startswith(self.prefixes)):
            return True
        return bool(self.tags) and (entry is None or not self.tags.isdisjoint(entry.tags))


_SCHEMES = ("http", "https")


def _bytes(message: Message, key: str) -> list[bytes]:
    listed = message.get(key, [])
    return [str(item).encode("latin-1", "replace") for item in listed] if isinstance(listed, list) else []


__all__ = ["TOPIC", "Message", "Purge", "of_change", "of_command", "of_request", "of_urls"]
