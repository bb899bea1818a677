"""What stands before a store that can be away: a time limit, a pause after a failure, and a word to the operator.

Owns when the store is asked at all. Does not know which store it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from gateway import Metrics
from gateway_persistence.settings import StoreSettings
from gateway_persistence.stores import SessionStore, StoreAway

log = logging.getLogger("gateway.persistence")


class GuardedStore:
    """A store that answers in time or raises StoreAway.

    After a failure it is left alone for a pause, and then tried with one question. The log says once that it is
    away and once that it is back.
    """

    def __init__(
        self,
        open_store: Callable[[], SessionStore],
        settings: StoreSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_store = open_store
        self._name = settings.use
        self._timeout = settings.timeout
        self._pause = settings.pause
        self._clock = clock
        self._store: SessionStore | None = None
        self._away_since: float | None = None
        self._next_try = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self.failures = 0
        """Questions that the store has not answered, or not in time."""
        self.skipped = 0
        """Questions that were not asked because the store was away."""

    @property
    def is_away(self) -> bool:
        """Whether the latest question failed."""
        return self._away_since is not None

    def show_in(self, metrics: Metrics) -> None:
        """Let the operator see outages that no client notices."""
        for name, meaning, read in (
            ("failures", "Questions that the store of sessions has not answered in time", lambda: self.failures),
            ("skipped", "Questions that were not asked since the store of sessions was away", lambda: self.skipped),
        ):
            metrics.counter(f"persistence_store_{name}", meaning, read, store=self._name)
        metrics.gauge(
            "persistence_store_away",
            "Workers that hold the store of sessions for away",
            lambda: float(self.is_away),
            store=self._name,
        )

    async def get(self, key: str) -> str:
        """The endpoint's name, empty for none. Raises StoreAway."""
        return await self._ask(lambda store: store.get(key))

    async def put(self, key: str, endpoint: str, replacing: str | None) -> str:
        """Bind a session; the endpoint that holds afterwards. Raises StoreAway."""
        return await self._ask(lambda store: store.put(key, endpoint, replacing))

    async def close(self) -> None:
        """Give up the connections."""
        self._leave()
        await asyncio.gather(*self._closing)

    async def _ask(self, question: Callable[[SessionStore], Awaitable[str]]) -> str:
        if self._away_since is not None:
            if self._clock() < self._next_try:
                self.skipped += 1
                raise StoreAway
            self._next_try = self._clock() + self._pause  # this question is the trial; others wait for what it says
        store = self._store
        try:
            if store is None:
                store = self._store = self._open_store()
            async with asyncio.timeout(self._timeout):
                answer = await question(store)
        except Exception as error:  # each client has errors of its own, and none may reach an exchange
            self._fail(store, error)
            raise StoreAway from error
        if self._away_since is not None:
            log.warning(
                "persistence: the store %s is back after %.1f s", self._name, self._clock() - self._away_since
            )
            self._away_since = None
        return answer

    def _fail(self, store: SessionStore | None, error: Exception) -> None:
        self.failures += 1
        if store is self._store:
            self._leave()
        if self._away_since is None:
            self._away_since = self._clock()
            said = str(error) or f"no answer within {self._timeout:g} s"
            log.warning(
                "persistence: the store %s is away (%s: %s): sessions that this worker does not remember are"
                " balanced until it is back",
                self._name,
                type(error).__name__,
                said,
            )
        self._next_try = self._clock() + self._pause

    def _leave(self) -> None:
        """Drop every connection: what a failure has left them in is not worth finding out."""
        store, self._store = self._store, None
        if store is not None:
            task = asyncio.get_running_loop().create_task(_close(store))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def __repr__(self) -> str:
        state = "away" if self.is_away else "at hand"
        return f"<GuardedStore {self._name}: {state}, {self.failures} failures>"


async def _close(store: SessionStore) -> None:
    try:
        await store.close()
    except Exception as error:
        log.debug("persistence: a store did not close: %r", error)


__all__ = ["GuardedStore"]
