"""What stands before a store that can be away: a time limit, a pause after a failure, and a word to the operator.

Owns when the store is asked at all. Does not know which store it is. Routes with settings of their own have guards
of their own; those before one store share what a worker knows of it, so that it is told and counted once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway import App, Metrics
from gateway_persistence.settings import StoreSettings
from gateway_persistence.stores import SessionStore, StoreAway

log = logging.getLogger("gateway.persistence")


TOPIC = "persistence.guards"
"""Never leaves the process: guards find each other on it."""


class StoreState:
    """What a worker knows of a store: shared by all guards before it."""

    def __init__(self) -> None:
        self.away_since: float | None = None
        self.next_try = 0.0
        self.outages = 0
        """Connections that were opened before the latest one are not worth a question."""
        self.failures = 0
        """Questions that the store has not answered, or not in time."""
        self.skipped = 0
        """Questions that were not asked because the store was away."""


@dataclass
class _Inquiry:
    """Asks the other guards of an App for the state of a store, if one of them is before the same."""

    app: App
    place: tuple[object, ...]
    found: StoreState | None = None


class GuardedStore:
    """A store that answers in time or raises StoreAway.

    After a failure it is left alone for a pause, and then tried with one question. The log says once that it is
    away and once that it is back, however many guards of this worker there are before it.
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
        self._opened_after = 0
        self._closing: set[asyncio.Task[None]] = set()
        # With another time limit, "away" means something else.
        url = settings.url.get_secret_value() if settings.url else ""
        self._place = settings.use, url, settings.timeout
        self._app: App | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self.state = StoreState()

    @property
    def is_away(self) -> bool:
        """Whether the latest question failed."""
        return self.state.away_since is not None

    def open(self, app: App) -> None:
        """Share what the App's other guards know of the store; the first one lets the operator see outages that no
        client notices."""
        inquiry = _Inquiry(app, self._place)
        app.bus.deliver(TOPIC, inquiry)
        if inquiry.found is not None:
            self.state = inquiry.found
        else:
            self._show_in(app.metrics)
        self._app = app
        self._unsubscribe = app.bus.subscribe(TOPIC, self._answer)

    def _answer(self, inquiry: _Inquiry) -> None:
        if inquiry.app is self._app and inquiry.place == self._place:
            inquiry.found = self.state

    def _show_in(self, metrics: Metrics) -> None:
        state = self.state
        for name, meaning, read in (
            ("failures", "Questions that the store of sessions has not answered in time", lambda: state.failures),
            (
                "skipped",
                "Questions that were not asked since the store of sessions was away",
                lambda: state.skipped,
            ),
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
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._leave()
        await asyncio.gather(*self._closing)

    async def _ask(self, question: Callable[[SessionStore], Awaitable[str]]) -> str:
        state = self.state
        if state.away_since is not None:
            if self._clock() < state.next_try:
                state.skipped += 1
                raise StoreAway
            state.next_try = self._clock() + self._pause  # this question is the trial; others wait for what it says
        if self._opened_after != state.outages:
            self._leave()
        store = self._store
        try:
            if store is None:
                self._opened_after = state.outages
                store = self._store = self._open_store()
            async with asyncio.timeout(self._timeout):
                answer = await question(store)
        except Exception as error:  # each client has errors of its own, and none may reach an exchange
            self._fail(store, error)
            raise StoreAway from error
        if state.away_since is not None:
            log.warning(
                "persistence: the store %s is back after %.1f s", self._name, self._clock() - state.away_since
            )
            state.away_since = None
        return answer

    def _fail(self, store: SessionStore | None, error: Exception) -> None:
        state = self.state
        state.failures += 1
        if store is self._store:
            self._leave()
        if state.away_since is None:
            state.away_since = self._clock()
            state.outages += 1
            said = str(error) or f"no answer within {self._timeout:g} s"
            log.warning(
                "persistence: the store %s is away (%s: %s): sessions that this worker does not remember are"
                " balanced until it is back",
                self._name,
                type(error).__name__,
                said,
            )
        state.next_try = self._clock() + self._pause

    def _leave(self) -> None:
        """Drop every connection: what a failure has left them in is not worth finding out."""
        store, self._store = self._store, None
        if store is not None:
            task = asyncio.get_running_loop().create_task(_close(store))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def __repr__(self) -> str:
        state = "away" if self.is_away else "at hand"
        return f"<GuardedStore {self._name}: {state}, {self.state.failures} failures>"


async def _close(store: SessionStore) -> None:
    try:
        await store.close()
    except Exception as error:
        log.debug("persistence: a store did not close: %r", error)


__all__ = ["GuardedStore"]
