"""A worker's own memory before a store that several share, as one.

Owns the order in which they are asked, and that both forget what is purged. Each has a file of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway import Metrics
from gateway_cache.config import Config
from gateway_cache.entry import Entry
from gateway_cache.flights import is_for
from gateway_cache.lookup import Lookup
from gateway_cache.purging import Message, Purge
from gateway_cache.stores.disk import Disk
from gateway_cache.stores.memory import Memory


class SharedStore(Protocol):
    """What workers share, and what outlives them. What is damaged or away is a miss, told of in the log."""

    name: str
    """The setting that chooses it."""

    @property
    def is_away(self) -> bool:
        """Whether it is of no use at the moment."""
        ...

    @property
    def failures(self) -> int:
        """What it has not done, or not in time."""
        ...

    @property
    def left_out(self) -> int:
        """Responses that it was to store, and has not."""
        ...

    def open(self) -> None:
        """Be ready. Raises ConfigurationError."""
        ...

    async def close(self) -> None:
        """Write what is to be written, and let go."""
        ...

    def find(self, url: bytes, is_wanted: Callable[[Entry], bool]) -> Entry | Awaitable[Entry | None] | None:
        """The newest response to a URL that is wanted; for a store over the network, as soon as it has answered."""
        ...

    def put(self, url: bytes, entry: Entry) -> None:
        """Store a response, sooner or later; nobody waits for that."""
        ...

    def drop(self, purge: Purge) -> None:
        """Serve nothing more of what is purged, from now on, and delete it."""
        ...


class Stores:
    """What one App has stored, in its worker and where all of them see it."""

    def __init__(self, config: Config, void: Callable[[Purge], None]) -> None:
        """`void` is called for what another gateway has purged, of which the store that both share tells."""
        self.memory = Memory(config.memory)
        self._void = void
        self._shared = _shared(config, self._on_purge_elsewhere)
        self.count = 0
        """How many responses were stored."""

    def open(self, metrics: Metrics) -> None:
        """Be ready. Raises ConfigurationError."""
        if self._shared is not None:
            self._shared.open()
            _show(self._shared, metrics)

    async def close(self) -> None:
        """Write what is to be written."""
        if self._shared is not None:
            await self._shared.close()

    def newer(self, lookup: Lookup, known: Entry | None) -> Entry | Awaitable[Entry | None] | None:
        """What another worker, or a former one, has stored, if it is newer than what is known; else that."""
        if self._shared is None:
            return known
        found = self._shared.find(lookup.url, lambda entry: entry.place == lookup.place and is_for(lookup, entry))
        if found is None or isinstance(found, Entry):
            return self._newest(lookup, known, found)
        return self._newest_of(lookup, known, found)

    async def _newest_of(
        self, lookup: Lookup, known: Entry | None, finding: Awaitable[Entry | None]
    ) -> Entry | None:
        return self._newest(lookup, known, await finding)

    def _newest(self, lookup: Lookup, known: Entry | None, found: Entry | None) -> Entry | None:
        if found is None or (known is not None and known.born >= found.born):
            return known
        self.memory.put(lookup.url, found)
        return found

    def put(self, url: bytes, entry: Entry) -> None:
        """Store a response."""
        self.count += self.memory.put(url, entry)
        if self._shared is not None:
            self._shared.put(url, entry)

    def drop(self, purge: Purge) -> int:
        """Forget what is purged; how many responses in memory that were."""
        if self._shared is not None:
            self._shared.drop(purge)
        return self.memory.drop(purge)

    def _on_purge_elsewhere(self, message: Message) -> None:
        purge = Purge(message)
        self._void(purge)
        self.memory.drop(purge)

    def __repr__(self) -> str:
        return f"<Stores: {self.memory}, {self._shared or 'nothing shared'}>"


def _show(store: SharedStore, metrics: Metrics) -> None:
    """Let the operator see what no client notices."""
    name = store.name
    metrics.counter("cache_store_failures", "What stores have not done in time", lambda: store.failures, store=name)
    metrics.counter(
        "cache_store_left_out", "Responses that stores have not taken", lambda: store.left_out, store=name
    )
    metrics.gauge(
        "cache_store_away", "Workers that go on without a store", lambda: float(store.is_away), store=name
    )


def _shared(config: Config, on_purge: Callable[[Message], None]) -> SharedStore | None:
    """Raises ValueError for a URL of Redis that is none, and without its client."""
    if config.redis is None:
        return Disk(config.disk, config.disk_size) if config.disk is not None else None
    try:
        from gateway_cache.stores.redis import RedisStore
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the setting redis needs the package {error.name!r}: pip install 'gateway-cache[redis]'"
        ) from error
    return RedisStore(config, on_purge)


__all__ = ["SharedStore", "Stores"]
