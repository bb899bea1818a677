"""One coarse clock for all deadlines towards endpoints.

A timer per exchange costs more than a look at every busy connection ten times a second. Sleeps when
nothing is open.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.upstream.pool import ConnectionPool

PERIOD_SECONDS = 0.1
"""How late a deadline may be noticed."""


class Ticker:
    """Calls `tick(now)` of every pool that has connections."""

    __slots__ = ("_handle", "_loop", "_pools", "is_awake", "now")

    def __init__(self) -> None:
        self._pools: list[ConnectionPool] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self.is_awake = False
        self.now = 0.0
        """The loop's time at the last tick: good enough for deadlines, and free to read."""

    def add(self, pool: ConnectionPool) -> None:
        """Look after a pool."""
        self._pools.append(pool)

    def fail(self, error: GatewayError) -> None:
        """End with an error whatever is under way in every pool."""
        for pool in list(self._pools):
            pool.fail(error)

    def wake(self) -> None:
        """Begin to tick; called by a pool that opens a connection."""
        self.is_awake = True
        self._loop = self._loop or asyncio.get_running_loop()
        self.now = self._loop.time()
        self._handle = self._loop.call_later(PERIOD_SECONDS, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        now = self.now = self._loop.time()
        is_needed = has_ended = False
        for pool in self._pools:
            has_ended = has_ended or pool.has_ended
            if pool.busy or pool.idle:
                pool.tick(now)
                is_needed = True
        if has_ended:  # its endpoint is gone
            self._pools = [pool for pool in self._pools if not pool.has_ended]
        self.is_awake = is_needed
        if is_needed:
            self._handle = self._loop.call_later(PERIOD_SECONDS, self._tick)
