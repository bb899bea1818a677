"""What was found before, for as long as it holds, within bounds.

Owns how long, how many and how many bytes. Each worker has its own. Everything but the looking runs on the loop.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from gateway_static.finding import NOTHING, Finder, Found, Nothing


class _Entry(NamedTuple):
    found: Found
    until: float


class Held:
    """Found names. Those asked for least recently go first; a crowd of missing names drives no file out."""

    def __init__(self, finder: Finder, check_seconds: float, max_bytes: int, max_names: int) -> None:
        self._finder = finder
        self._check_seconds = check_seconds
        self._max_bytes = max_bytes
        self._max_names = max_names
        self._found: dict[str, _Entry] = {}
        self._missing: dict[str, _Entry] = {}
        self._pending: dict[str, asyncio.Future[Found]] = {}
        self.bytes = 0
        """What the files in memory take."""

    def get(self, name: str, now: float) -> Found | None:
        """What is known to hold; None if it has to be looked for.

        That nothing is there is often known to the system without a look at the disk. A thread costs much more.
        """
        # hot: static
        entry = self._found.get(name) or self._missing.get(name)
        if entry is not None and entry.until > now:
            return entry.found
        if name not in self._found and name not in self._pending and self._finder.surely_lacks(name):
            self._keep_missing(name, _Entry(NOTHING, now + self._check_seconds))
            return NOTHING
        return None

    async def find(self, name: str, now: float) -> Found:
        """Look at the disk, once for all who ask meanwhile. `now` is by the monotonic clock."""
        pending = self._pending.get(name)
        if pending is None:
            before = self._found.get(name)
            loop = asyncio.get_running_loop()
            pending = loop.run_in_executor(None, self._finder.find, name, before.found if before else None)
            self._pending[name] = pending
            pending.add_done_callback(lambda done: self._keep(name, now, done))
        return await asyncio.shield(pending)

    def forget(self, name: str) -> None:
        """It is known to be out of date."""
        self._missing.pop(name, None)
        entry = self._found.pop(name, None)
        if entry is not None:
            self.bytes -= entry.found.memory_bytes

    def _keep(self, name: str, now: float, done: asyncio.Future[Found]) -> None:
        del self._pending[name]
        self.forget(name)
        if done.cancelled() or done.exception() is not None:
            return
        # From before the look: what changes during it may not be seen.
        entry = _Entry(done.result(), now + self._check_seconds)
        if isinstance(entry.found, Nothing):
            self._keep_missing(name, entry)
            return
        self._found[name] = entry
        self.bytes += entry.found.memory_bytes
        while self._found and (self.bytes > self._max_bytes or len(self._found) > self._max_names):
            self.forget(next(iter(self._found)))

    def _keep_missing(self, name: str, entry: _Entry) -> None:
        self._missing.pop(name, None)
        self._missing[name] = entry
        if len(self._missing) > self._max_names:
            del self._missing[next(iter(self._missing))]

    def __repr__(self) -> str:
        return f"<Held: {len(self._found)} names, {len(self._missing)} missing, {self.bytes} bytes>"
