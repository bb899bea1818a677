"""The plugin `connection-limit`: so much under way at once for each client, in all workers together.

Owns what is refused and when a count is given back. Counting is done in `count_table`; requests and connections
have keys of their own in it.
"""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import Field

from gateway import App, Connection, Deny, Exchange, Network, PluginConfig, Response, StateKey, hookimpl
from gateway_security.client_keys import Clients, KeyParts, PlaceOf, place_of
from gateway_security.count_table import FULL, MOST, CountTable
from gateway_security.refusal_log import RefusalLog
from gateway_security.refused_error import Refused
from gateway_security.shared_locks import LockTimeout
from gateway_security.shared_table import Place

SWEEP_SECONDS = 1.0
"""How often a refusal makes us look for workers that are gone."""

TOO_MANY_CLIENTS = "more clients at once than there is room for; raise `clients`"

_RETRY = ((b"retry-after", b"1"),)


class ConnectionLimit:
    """Refuse what a client wants beyond so many requests, or connections, at once.

    A WebSocket counts for as long as it lasts. Connections are counted before anybody answers them, which takes an
    edge before the server core.
    """

    api = 1

    class Config(PluginConfig):
        """How much, and for whom."""

        requests: Annotated[int, Field(ge=0, le=MOST)] = 0
        """Requests of a key that may be under way at once; 0 for any number."""
        connections: Annotated[int, Field(ge=0, le=MOST)] = 0
        """Connections of a client that may be open at once; further ones are closed. 0 for any number."""
        key: KeyParts = ("client",)
        """Whose requests count together; the forms are those of `rate-limit`."""
        status: Literal[429, 503] = 429
        """What a client gets that is refused."""
        exempt_networks: tuple[Network, ...] = ()
        """Clients that are not counted."""
        ipv4_prefix: Annotated[int, Field(ge=1, le=32)] = 32
        """Clients whose addresses share so many bits are one."""
        ipv6_prefix: Annotated[int, Field(ge=1, le=128)] = 64
        """The same for IPv6, where one client usually has a /64."""
        clients: Annotated[int, Field(ge=16, le=1_000_000)] = 20_000
        """How many keys with something under way there is room for. Further ones are refused."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._most = config.requests
        self._clients = Clients(config.ipv4_prefix, config.ipv6_prefix, config.exempt_networks)
        self._is_exempting = bool(config.exempt_networks)
        self._slot: StateKey[int] = StateKey("connection-limit")
        self._log = RefusalLog("connection-limit")
        self._table: CountTable
        self._place: PlaceOf
        self._swept = 0.0
        self._connections: dict[Connection, int] = {}
        """The slots of those that are open here."""
        self._late: list[int] = []
        """Counts that could not be given back, since a worker that is stopped held the lock."""
        self.refused = 0
        if not self._most:
            self.on_request = self.on_response = self.on_complete = None  # type: ignore[assignment,method-assign]
        if not config.connections:
            self.on_connect = self.on_disconnect = None  # type: ignore[assignment,method-assign]
        if not self._most and not config.connections:
            self.startup = self.shutdown = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def startup(self, app: App) -> None:
        """Find the table that the workers share, or make it. Another limit has one of its own."""
        config = self._config
        meaning = f"{config.requests} {config.key} {config.ipv4_prefix} {config.ipv6_prefix} {config.connections}"
        self._table = CountTable(meaning, config.clients)
        self._place = place_of(config.key, self._clients, self._table.place, b"request ")
        app.metrics.counter(
            "connection_limit_refused",
            "Requests and connections refused for what their client had under way",
            lambda: self.refused,
        )

    @hookimpl
    def shutdown(self, app: App) -> None:
        """Leave the table, which goes with the last worker."""
        self._log.close()
        self._table.close()

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Count the request, or refuse it."""
        # hot: l7-balancer
        if self._is_exempting and self._clients.is_exempt(exchange.request.client):
            return
        try:
            slot = self._enter(self._place(exchange), self._most)
        except LockTimeout as error:
            raise self._refusal(exchange, str(error), 503) from None
        if slot == FULL:
            raise self._refusal(exchange, TOO_MANY_CLIENTS, 503)
        if slot < 0:
            raise self._refusal(exchange, f"{self._most} requests under way already", self._config.status)
        exchange[self._slot] = slot

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Say when to come again."""
        error = exchange.error
        if type(error) is Refused and error.by is self:
            error.add_to(response)

    @hookimpl
    def on_complete(self, exchange: Exchange) -> None:
        """Give the count back."""
        # hot: l7-balancer
        slot = exchange.get(self._slot)
        if slot is not None:
            self._leave(slot)

    @hookimpl
    def on_connect(self, connection: Connection) -> Deny | None:
        """Count the connection, or have it closed."""
        client, most = connection.client, self._config.connections
        if self._is_exempting and self._clients.is_exempt(client):
            return None
        try:
            slot = self._enter(self._table.place(b"connection " + self._clients.network(client)), most)
        except LockTimeout as error:
            self.refused += 1
            return Deny(str(error))
        if slot < 0:
            self.refused += 1
            return Deny(TOO_MANY_CLIENTS if slot == FULL else f"{most} connections are open already")
        self._connections[connection] = slot
        return None

    @hookimpl
    def on_disconnect(self, connection: Connection) -> None:
        """Give the count back."""
        slot = self._connections.pop(connection, None)
        if slot is not None:
            self._leave(slot)

    def _leave(self, slot: int) -> None:
        try:
            self._table.leave(slot)
        except LockTimeout:
            self._late.append(slot)

    def _enter(self, place: Place, most: int) -> int:
        """A slot; less than 0 if there is none, even without what belongs to workers that are gone."""
        # hot: l7-balancer
        slot = self._table.enter(place, most)
        if slot < 0 and (now := time.monotonic()) >= self._swept:
            self._swept = now + SWEEP_SECONDS
            while self._late:
                self._table.leave(self._late[-1])
                self._late.pop()
            self._table.sweep()
            slot = self._table.enter(place, most)
        return slot

    def _refusal(self, exchange: Exchange, why: str, status: int) -> Refused:
        self.refused += 1
        self._log.tell(exchange, "refused", why)
        exchange.note("connection-limit", f"refused it: {why}")
        return Refused(self, why, status, _RETRY)


__all__ = ["ConnectionLimit"]
