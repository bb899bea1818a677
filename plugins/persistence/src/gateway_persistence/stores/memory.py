"""The store `memory`: bindings in every worker, which tell each other over the bus.

Owns the order in which contradicting bindings win, so that all workers come to hold the same one; when a binding
is forgotten; and how a new worker, or a new configuration, learns what there is. Never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gateway import App, new_id
from gateway_persistence.stores.table import LatestTable

TOUCHES = 8
"""How often in its time to live the use of a binding is told to the other workers."""
BATCH = 500
"""Bindings in one message to a worker that asks for all."""


class Binding(NamedTuple):
    """To which endpoint a session belongs. Times are of the machine's monotonic clock, which all workers share."""

    endpoint: str
    moves: int
    """How often the session has moved."""
    since: float
    used: float
    """When it was last used, give or take an eighth of the time to live."""

    def beats(self, other: Binding) -> bool:
        """Whether this one holds if two workers contradict each other: the further moved, then the earlier."""
        return (-self.moves, self.since, self.endpoint) < (-other.moves, other.since, other.endpoint)


class MemoryStore:
    """Bindings, the same in every worker. `space` keeps the sessions of different plugins apart."""

    def __init__(
        self, space: str, ttl: float, max_sessions: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._topic = f"persistence.sessions.{space}"
        self._ttl = ttl
        self._clock = clock
        self._bindings: LatestTable[Binding] = LatestTable(max_sessions)
        self._me = new_id()
        self._app: App | None = None
        self._subscriptions: list[Callable[[], None]] = []
        self._answers: set[asyncio.Task[None]] = set()

    # -- bindings ----------------------------------------------------------------------------------------------

    def get(self, key: str) -> str | None:
        """The endpoint's name. The session's time begins anew."""
        # hot: l7-balancer
        binding = self._bindings.get(key)
        if binding is None:
            return None
        now = self._clock()
        idle = now - binding.used
        if idle * TOUCHES > self._ttl:
            if idle > self._ttl:
                self._bindings.drop(key)
                return None
            self._set(key, binding._replace(used=now))
        return binding.endpoint

    def put(self, key: str, endpoint: str, replacing: str | None) -> str:
        """Bind a session; the endpoint that holds afterwards. See `SessionStore.put`."""
        now = self._clock()
        held = self._live(key, now)
        if held is None:
            self._set(key, Binding(endpoint, 0, now, now))
        elif held.endpoint != endpoint:
            if replacing is not None and held.endpoint != replacing:
                return held.endpoint
            self._set(key, Binding(endpoint, held.moves + 1, now, now))
        return endpoint

    def _live(self, key: str, now: float) -> Binding | None:
        binding = self._bindings.get(key)
        return binding if binding is not None and now - binding.used <= self._ttl else None

    def _set(self, key: str, binding: Binding) -> None:
        self._bindings.put(key, binding)
        self._tell([(key, binding)])

    # -- other workers -----------------------------------------------------------------------------------------

    def open(self, app: App) -> None:
        """Listen to the other workers, and learn what is known: from the App that this one replaces, or else from
        them. Their answer comes a little later; until then a session may be served elsewhere, but is not moved."""
        self._app = app
        # Delivered within this process alone, and answered at once: the table itself can be handed over.
        app.bus.deliver(f"{self._topic}.heir", self)
        self._subscriptions = [
            app.bus.subscribe(self._topic, self._hear),
            app.bus.subscribe(f"{self._topic}.heir", self._bequeath),
        ]
        if not self._bindings:
            app.bus.publish(self._topic, {"asks": self._me, "leads": app.once(self._topic)})

    def close(self) -> None:
        """Leave the other workers."""
        for unsubscribe in self._subscriptions:
            unsubscribe()
        for answer in self._answers:
            answer.cancel()
        self._app = None

    def inherit(self, bindings: Iterable[tuple[str, Binding]]) -> None:
        """Take over what another store holds."""
        for key, binding in bindings:
            self._bindings.put(key, binding)

    def _bequeath(self, heir: MemoryStore) -> None:
        heir.inherit(self._bindings)

    def _hear(self, message: dict[str, Any]) -> None:
        asks = message.get("asks")
        if asks is None:
            for key, *binding in message["bound"]:
                self._merge(key, Binding(*binding))
        # One worker answers for all; if that is the one that asks, any other does.
        elif asks != self._me and self._app and (message["leads"] or self._app.once(self._topic)):
            task = asyncio.get_running_loop().create_task(self._tell_all())
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    def _merge(self, key: str, told: Binding) -> None:
        now = self._clock()
        if now - told.used > self._ttl:
            return
        held = self._live(key, now)
        if held is None or told.beats(held):
            self._bindings.put(key, told)
        elif held.beats(told):
            self._tell([(key, held)])  # whoever told us does not know
        elif told.used > held.used:
            self._bindings.put(key, told)

    def _tell(self, bindings: Iterable[tuple[str, Binding]]) -> None:
        if self._app is not None:
            self._app.bus.publish(self._topic, {"bound": [(key, *binding) for key, binding in bindings]})

    async def _tell_all(self) -> None:
        everything = list(self._bindings)
        for start in range(0, len(everything), BATCH):
            self._tell(everything[start : start + BATCH])
            await asyncio.sleep(0)  # exchanges go first

    def __len__(self) -> int:
        return len(self._bindings)

    def __repr__(self) -> str:
        return f"<MemoryStore: {len(self)} sessions>"


__all__ = ["Binding", "MemoryStore"]
