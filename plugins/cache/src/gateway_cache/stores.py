"""Memory before disk, as one store.

Owns the order in which they are asked, and that both forget what is purged.
"""

from __future__ import annotations

import asyncio

from gateway_cache.config import Config
from gateway_cache.disk import Disk
from gateway_cache.entry import Entry
from gateway_cache.flights import is_for
from gateway_cache.lookup import Lookup
from gateway_cache.memory import Memory
from gateway_cache.purging import Purge


class Stores:
    """What one App has stored, in its worker and in the folder that all of them share."""

    def __init__(self, config: Config) -> None:
        self.memory = Memory(config.memory)
        self._disk = Disk(config.disk, config.disk_size) if config.disk is not None else None
        self.count = 0
        """How many responses were stored."""

    def open(self) -> None:
        """Be ready. Raises ConfigurationError."""
        if self._disk is not None:
            self._disk.open()

    async def close(self) -> None:
        """Write what is to be written."""
        if self._disk is not None:
            await asyncio.to_thread(self._disk.close)

    def newer(self, lookup: Lookup, known: Entry | None) -> Entry | None:
        """What another worker, or a former one, has stored, if it is newer than what is known; else that."""
        if self._disk is None:
            return known
        found = self._disk.find(lookup.url, lambda entry: entry.place == lookup.place and is_for(lookup, entry))
        if found is None or (known is not None and known.born >= found.born):
            return known
        self.memory.put(lookup.url, found)
        return found

    def put(self, url: bytes, entry: Entry) -> None:
        """Store a response."""
        self.count += self.memory.put(url, entry)
        if self._disk is not None:
            self._disk.put(url, entry)

    def drop(self, purge: Purge) -> int:
        """Forget what is purged; how many responses in memory that were."""
        if self._disk is not None:
            self._disk.drop(purge)
        return self.memory.drop(purge)

    def __repr__(self) -> str:
        return f"<Stores: {self.memory}, {self._disk or 'no disk'}>"


__all__ = ["Stores"]
