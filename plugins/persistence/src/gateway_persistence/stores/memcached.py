"""The store `memcached`: bindings in Memcached, each an item under the prefix and the hash.

The client is memcachio: of those for asyncio it is the one that is kept up and whose connections stay in step when
a question is given up (aiomcache hands on a connection that still owes an answer, which would be taken for the
answer to somebody else's question; pymemcache, which blocks, is no longer looked after).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from math import ceil
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from memcachio import Client, TCPEndpoint

from gateway_persistence.settings import Settings

T = TypeVar("T")

MAX_CONNECTIONS = 4
"""To the store from one worker; each carries up to 100 questions at once."""
MAX_SECONDS = 30 * 24 * 3600
"""What is more, Memcached takes for a date."""
TRIES = 3
"""How often a binding is tried that others change at the same time."""


class MemcachedStore:
    """Bindings in Memcached. To look one up is one round trip, to write one two."""

    def __init__(self, config: Settings) -> None:
        assert config.store.url is not None
        parts = urlsplit(config.store.url.get_secret_value())
        seconds = config.store.timeout
        self._client: Client[bytes] = Client(
            TCPEndpoint(parts.hostname, parts.port or 11211) if parts.hostname else unquote(parts.path),
            decode_responses=False,
            max_connections=MAX_CONNECTIONS,
            blocking_timeout=seconds,
            connect_timeout=seconds,
            read_timeout=seconds,
            socket_nodelay=True,
        )
        self._prefix = config.store.prefix
        self._seconds = min(MAX_SECONDS, ceil(config.ttl))

    async def get(self, key: str) -> str:
        """See `SessionStore.get`."""
        name = (self._prefix + key).encode()
        item = (await _undisturbed(self._client.gat(name, expiry=self._seconds))).get(name)
        return "" if item is None else item.value.decode("utf-8", "replace")

    async def put(self, key: str, endpoint: str, replacing: str | None) -> str:
        """See `SessionStore.put`."""
        return await _undisturbed(self._put((self._prefix + key).encode(), endpoint, replacing))

    async def _put(self, name: bytes, endpoint: str, replacing: str | None) -> str:
        held = endpoint
        for _ in range(TRIES):
            item = (await self._client.gets(name)).get(name)
            if item is None:
                if await self._client.add(name, endpoint.encode(), expiry=self._seconds):
                    return endpoint
                continue
            held = item.value.decode("utf-8", "replace")
            if held == endpoint or (replacing is not None and held != replacing):
                return held
            if await self._client.cas(name, endpoint.encode(), item.cas or 0, expiry=self._seconds):
                return endpoint
        return held

    async def close(self) -> None:
        """See `SessionStore.close`."""
        self._client.connection_pool.close()


async def _undisturbed(question: Coroutine[Any, Any, T]) -> T:
    """Let it come to its end even if nobody waits for it any more: the client's time limits bound it."""
    task = asyncio.ensure_future(question)
    task.add_done_callback(_look_at)
    return await asyncio.shield(task)


def _look_at(task: asyncio.Task[Any]) -> None:
    """Take note of a failure that nobody waits for: otherwise asyncio logs it."""
    if not task.cancelled():
        task.exception()


__all__ = ["MemcachedStore"]
