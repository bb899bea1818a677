"""The inner side of an edge: a server of ours on loopback, and the connections that were handed on to it.

Owns the map by which an exchange is told whose connection it came over. A request that came over none of them is
not served: whoever finds the port on this machine gets nothing by it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config.addresses import Address
from gateway.config.model import Limits, Listener
from gateway.connection import Connection
from gateway.listeners.connections import Clients
from gateway.listeners.exchange import Host
from gateway.listeners.http import HttpListener
from gateway.listeners.relay import Side
from gateway.upstream.message import end_forwarding

if TYPE_CHECKING:
    from gateway.app import App

log = logging.getLogger("gateway.listeners")

LOOPBACK = "127.0.0.1"
WARNINGS_SECONDS = 10.0
PASSAGE_BYTES = 256 * 1024
"""Each of the four buffers of the system between a client's side and our server."""

_SCHEMES = {"http": "https", "ws": "wss"}


class Passage(NamedTuple):
    """A connection that was handed on."""

    connection: Connection
    outer: Side
    inner: Side
    since: float


class Inner:
    """A server for one version of HTTP. Each has a map of its own: two may know the same local port."""

    def __init__(self, version: str, settings: Listener, limits: Limits, app: App) -> None:
        # Granian knows no limit for an HTTP/2 connection without a request, so we have to know who has some.
        self.host = Host(app, settings.label, Clients() if version == "2" else None)
        self.host.edge = self
        self._idle_timeout = settings.header_timeout
        self._warned = 0.0
        self._passages: dict[int, Passage] = {}
        """By the local port of our side."""
        self._bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_small(self._bound)
        self._bound.bind((LOOPBACK, 0))
        self._bound.listen(settings.backlog)
        self._bound.setblocking(False)
        self._port = self._bound.getsockname()[1]
        update = {"bind": Address(LOOPBACK, self._port), "tls": None, "http": version}
        self._listener = HttpListener(settings.model_copy(update=update), limits, self.host, self._bound)

    def start(self) -> None:
        """Serve from now on."""
        self._listener.start()

    async def stop(self) -> None:
        """Close idle connections, let exchanges in flight end, and return when the last has."""
        await self._listener.stop()
        self._bound.close()

    async def open(self, connection: Connection, outer: Side) -> None:
        """Hand a connection on: from now on bytes flow. Raises OSError."""
        port = 0

        def forget() -> None:
            self._passages.pop(port, None)

        inner = Side(can_half_close=False, on_end=forget)
        await asyncio.get_running_loop().create_connection(lambda: inner, LOOPBACK, self._port)
        _keep_small(inner.transport.get_extra_info("socket"))
        port = inner.transport.get_extra_info("sockname")[1]
        self._passages[port] = Passage(connection, outer, inner, time.monotonic())
        outer.join(inner)

    def identify(self, exchange: Any) -> bool:
        """Tell an exchange whose it is; False if its connection is none of ours."""
        request = exchange.request
        passage = self._passages.get(request.client_port)
        if passage is None or request.peer != LOOPBACK:
            self._warn_of(request.peer)
            return False
        connection = exchange.connection = passage.connection
        request.peer = request.client = connection.client
        request.client_port = connection.client_port
        if connection.is_encrypted:
            request.scheme = _SCHEMES[request.scheme]
        if connection.is_anonymous:
            end_forwarding(request.headers)
        return True

    def _warn_of(self, peer: str) -> None:
        now = time.monotonic()
        if now >= self._warned + WARNINGS_SECONDS:
            self._warned = now
            log.warning("listener %s: requests come past the edge, from %s; they get 500", self.host.listener, peer)

    def look_after(self, now: float) -> None:
        """End the connections over which nothing is asked, and those whose client lets several streams stall."""
        clients = self.host.clients
        if clients is None:
            return
        clients.keep({(LOOPBACK, port) for port in self._passages})
        for port, passage in list(self._passages.items()):
            client, is_behind = clients.find((LOOPBACK, port)), passage.outer.is_behind
            if client is not None and is_behind:
                client.waited_at = now
            idle_since = passage.since if client is None else client.idle_since
            if client is not None and client.is_condemned:
                passage.outer.transport.abort()
            elif (client is None or not client.live) and not is_behind and self._is_over(idle_since, now):
                passage.inner.transport.close()

    def _is_over(self, since: float, now: float) -> bool:
        return self._idle_timeout > 0 and now - since >= self._idle_timeout


def _keep_small(passage: socket.socket) -> None:
    """Have the system hold little on the way: it would grow its buffers to MiBs for a client that takes nothing."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        passage.setsockopt(socket.SOL_SOCKET, option, PASSAGE_BYTES)
