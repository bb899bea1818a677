"""A worker's own memory before a store that several share, as one.

Owns the order in which they are asked, and that both forget what is purged. Each has a file of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway import Metrics
from gateway_cache.claims import FREE, HELD_SECONDS, Claim, Claims
from gateway_cache.config import Config
from gateway_cache.entry import Entry
from gateway_cache.files import Spill
from gateway_cache.flights import is_for
from gateway_cache.lookup import Lookup
from gateway_cache.partial import combined
from gateway_cache.purging import Message, Purge
from gateway_cache.stores.disk import Disk
from gateway_cache.stores.memory import Memory

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05
"""Seconds between looks at what another worker is asking for."""


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

    def __init__(self, config: Config, on_purge: Callable[[Message], None]) -> None:
        """`on_purge` is called for what another gateway has purged, of which the store that both share tells."""
        self.memory = Memory(config.memory)
        self._disk = Disk(config.disk, config.disk_size) if config.disk is not None else None
        self._shared: SharedStore | None = self._disk if config.redis is None else _redis(config, on_purge)
        self.max_entry = config.max_entry
        """The longest body that is held in memory."""
        self._longest = config.longest
        self._claims = None if self._disk is None else Claims(self._disk.claims)
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
        """Store a response. Parts are each worker's own until they are whole."""
        if entry.parts is not None:
            entry = combined(self.memory.like(url, entry), entry, self.max_entry)
        entry = entry.closed()
        self.count += self.memory.put(url, entry)
        if self._shared is not None and entry.parts is None:
            self._shared.put(url, entry)

    def claim(self, url: bytes) -> Claim | None:
        """The right to ask the origin for a URL; None while another worker has it."""
        return FREE if self._claims is None else self._claims.take(url)

    def release(self, claim: Claim) -> None:
        """Let others ask, as soon as they see what was stored before."""
        if self._disk is not None and claim is not FREE:
            self._disk.after_writes(claim.release)

    async def turn(self, lookup: Lookup, known: Entry | None) -> Entry | Claim:
        """Wait for the worker that has the claim: what it has stored, or the claim, or none of both in time."""
        pause, ends = FIRST_PAUSE, time.monotonic() + HELD_SECONDS
        while (claim := self.claim(lookup.url)) is None:
            if time.monotonic() > ends:
                return FREE
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
            found = self.newer(lookup, known)
            found = found if found is None or isinstance(found, Entry) else await found
            if found is not None and found is not known:
                return found
        return claim

    def spill(self) -> Spill | None:
        """Where a body may go that is too long for memory; None if nowhere. Raises OSError."""
        return None if self._disk is None else Spill(self._disk.bodies, self._longest)

    def drop(self, purge: Purge) -> int:
        """Forget what is purged; how many responses in memory that were."""
        if self._shared is not None:
            self._shared.drop(purge)
        return self.memory.drop(purge)

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


def _redis(config: Config, on_purge: Callable[[Message], None]) -> SharedStore:
    """Raises ValueError for a URL of Redis that is none, and without its client."""
    try:
        from gateway_cache.stores.redis import RedisStore
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the setting redis needs the package {error.name!r}: pip install 'gateway-cache[redis]'"
        ) from error
    return RedisStore(config, on_purge)


__all__ = ["SharedStore", "Stores"]
