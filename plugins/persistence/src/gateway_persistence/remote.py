"""The methods `learned`, `header` and `source` with a store that is asked over the network.

Owns when the store is asked and told, and what this worker remembers of its answers. A session that was seen
lately costs no question. One that was seen at all keeps its endpoint while the store is away; if the store comes
back empty, it is told again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gateway import App, Endpoint, Exchange, Response, StateKey, Upstream, hookimpl
from gateway_persistence.plugin import Persistence, is_moved, served_by
from gateway_persistence.sessions import NameTables, Session, SessionHash, key_source
from gateway_persistence.settings import Settings
from gateway_persistence.stores import StoreAway
from gateway_persistence.stores.guarded import GuardedStore
from gateway_persistence.stores.opening import store_opener
from gateway_persistence.stores.table import LatestTable


class Known(NamedTuple):
    """What the store said of a session."""

    endpoint: str
    until: float
    """Taken for granted up to here."""
    among: tuple[Endpoint, ...]
    """The candidates at that time: when these change, the session may have been moved by another worker."""


class RemoteSessions(Persistence, kinds=("redis", "memcached")):
    """Remember in a store of many gateways which session belongs to which endpoint."""

    def __init__(self, config: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys = key_source(config)
        self._hash = SessionHash(config)
        self._names = NameTables()
        self.store = GuardedStore(store_opener(config), config.store, clock)
        self._cache_seconds = config.store.cache
        self._ttl = config.ttl
        self._known: LatestTable[Known] = LatestTable(config.store.max_sessions)
        self._state: StateKey[Session] = StateKey("persistence")

    @hookimpl
    def startup(self, app: App) -> None:
        """Know what the other routes of this worker know of the store, and show how it does."""
        self.store.open(app)

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """Close the connections to the store."""
        await self.store.close()

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        """Find out which endpoint the session has."""
        await self._session(exchange)

    def bound(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint that was found out."""
        session = exchange.get(self._state)
        # A plugin may have chosen another upstream since, where the session is another one.
        return session.endpoint if session is not None and session.upstream is exchange.upstream else None

    @hookimpl
    async def on_upstream_response(self, exchange: Exchange, response: Response) -> None:
        """Remember who served, if the session is new or has moved: before the client can come again."""
        endpoint = served_by(exchange)
        if endpoint is None:
            return
        session = await self._session(exchange)
        if session is not None and is_moved(exchange, session.endpoint, endpoint):
            await self._put(session.key, endpoint, session.upstream, session.bound)
        new = self._keys.of_response(response)
        if new is not None:
            key = self._hash(exchange.upstream.name, new)
            known = self._known.get(key)
            if known is None or known.endpoint != endpoint.name or not self._is_fresh(known, exchange.upstream):
                await self._put(key, endpoint, exchange.upstream, None)

    async def _session(self, exchange: Exchange) -> Session | None:
        session, upstream = exchange.get(self._state), exchange.upstream
        if session is not None and session.upstream is upstream:
            return session
        value = self._keys.of_request(exchange)
        if value is None:
            return None
        key = self._hash(upstream.name, value)
        bound = await self._get(key, upstream)
        session = Session(key, upstream, bound, self._names.find(upstream, bound) if bound else None)
        exchange[self._state] = session
        return session

    async def _get(self, key: str, upstream: Upstream) -> str:
        known = self._known.get(key)
        if known is not None and self._is_fresh(known, upstream):
            return known.endpoint
        remembered = known.endpoint if known is not None and self._clock() < known.until + self._ttl else ""
        try:
            bound = await self.store.get(key)
            if remembered and not bound:  # a store that came back empty, or was away when the session began
                bound = await self.store.put(key, remembered, replacing="")
        except StoreAway:
            return remembered
        self._remember(key, bound, upstream)
        return bound

    async def _put(self, key: str, endpoint: Endpoint, upstream: Upstream, replacing: str | None) -> None:
        try:
            holds = await self.store.put(key, endpoint.name, replacing)
        except StoreAway:
            holds = endpoint.name  # at least this worker keeps to it
        self._remember(key, holds, upstream)

    def _is_fresh(self, known: Known, upstream: Upstream) -> bool:
        return self._clock() < known.until and known.among is upstream.available

    def _remember(self, key: str, endpoint: str, upstream: Upstream) -> None:
        if endpoint:
            self._known.put(key, Known(endpoint, self._clock() + self._cache_seconds, upstream.available))
        else:
            self._known.drop(key)

    def __repr__(self) -> str:
        return f"<RemoteSessions: {self.store!r}>"


__all__ = ["RemoteSessions"]
