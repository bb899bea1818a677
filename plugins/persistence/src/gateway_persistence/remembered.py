"""The methods `learned`, `header` and `source` with the store `memory`: all of it without waiting.

Owns when a binding is looked up and written. What workers tell each other is the store's.
"""

from __future__ import annotations

from gateway import App, Endpoint, Exchange, Response, StateKey, hookimpl
from gateway_persistence.plugin import Persistence, is_moved, served_by
from gateway_persistence.sessions import NameTables, Session, SessionHash, key_source
from gateway_persistence.settings import Settings
from gateway_persistence.stores.memory import MemoryStore


class RememberedSessions(Persistence, kinds=("memory",)):
    """Remember in this gateway's workers which session belongs to which endpoint."""

    def __init__(self, config: Settings) -> None:
        self._keys = key_source(config)
        self._hash = SessionHash(config)
        self._names = NameTables()
        self.store = MemoryStore(f"{config.method}.{config.name}", config.ttl, config.store.max_sessions)
        self._state: StateKey[Session] = StateKey("persistence")

    @hookimpl
    def startup(self, app: App) -> None:
        """Learn what other workers, or the configuration before this one, know."""
        self.store.open(app)

    @hookimpl
    def shutdown(self, app: App) -> None:
        """Leave the other workers."""
        self.store.close()

    def bound(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint that the store names."""
        # hot: l7-balancer
        session = self._session(exchange)
        return None if session is None else session.endpoint

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Remember who served, if the session is new or has moved."""
        # hot: l7-balancer
        endpoint = served_by(exchange)
        if endpoint is None:
            return
        session = self._session(exchange)
        if session and session.endpoint is not endpoint and is_moved(exchange, session.endpoint, endpoint):
            self.store.put(session.key, endpoint.name, replacing=session.bound)
        new = self._keys.of_response(response)
        if new is not None:
            self.store.put(self._hash(exchange.upstream.name, new), endpoint.name, replacing=None)

    def _session(self, exchange: Exchange) -> Session | None:
        """The exchange's session, looked up once."""
        # hot: l7-balancer
        session = exchange.get(self._state)
        if session is None:
            value = self._keys.of_request(exchange)
            if value is None:
                return None
            upstream = exchange.upstream
            key = self._hash(upstream.name, value)
            bound = self.store.get(key)
            endpoint = None if bound is None else self._names.find(upstream, bound)
            exchange[self._state] = session = Session(key, upstream, bound or "", endpoint)
        return session

    def __repr__(self) -> str:
        return f"<RememberedSessions: {self.store!r}>"


__all__ = ["RememberedSessions"]
