"""WebSockets: a handshake becomes an exchange like any other, and then messages pass both ways until an end.

Owns the client's side of a tunnel, the relay of messages and close codes, and the tunnel's own idle timeout.
Does not choose endpoints (`gateway.tunnel`) and does not know frames.

What Granian's ASGI leaves open: it answers the client's pings itself, tells no reason of a client's close and no
difference between a close without a code, a lost connection, and a client that it will not read any further (all
1005): one that breaks the protocol, or sends a frame of more than 16 MiB or a message of more than 64, which nobody
can set. So none of it is an error in the record of an exchange; the client is told by a close frame that goes out
only where it has not closed itself. The 101 takes a subprotocol but no further fields. A handshake without a key or
of another version than 13 Granian answers itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, Literal, NamedTuple

from websockets.exceptions import ConnectionClosed

from gateway.errors import GatewayError, ResponseCut
from gateway.forward import SERVER
from gateway.headers import RawHeaders
from gateway.listeners.exchange import AbortedResponse, Host
from gateway.listeners.fitting import fit_to_send
from gateway.listeners.request import read_request
from gateway.model import Exchange, Response
from gateway.tunnel import Tunnel, open_tunnel
from gateway.upstream.message import HOP_BY_HOP
from gateway.upstream.websocket import CLOSE_SECONDS

log = logging.getLogger("gateway.listeners")

GOING_AWAY = 1001
NO_CODE = 1005
"""Never sent: it says that a close frame came without a code (RFC 6455 7.4.1)."""
POLICY_VIOLATION = 1008
"""For whatever has no better code, or where we do not know which of several (RFC 6455 7.4.1)."""
INTERNAL_ERROR = 1011
UNREAD = "a frame over 16 MiB, a message over 64 MiB, or a breach of RFC 6455"
"""What Granian may have found; a reason has 123 bytes at most."""

MAX_REFUSAL_BYTES = 1024 * 1024
"""Granian takes the body of a refused handshake in one piece."""

_SENDABLE = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


async def serve_websocket(host: Host, watcher: Any) -> None:
    """Carry one handshake through the App; then relay messages, or refuse it with the response that came."""
    app, transport = host.app, watcher.proto
    exchange = Exchange(app, read_request(watcher.scope), host.listener)
    exchange.is_tunnel = True
    client = None if host.clients is None else host.clients.enter(exchange.request)
    if host.edge is not None and not host.edge.identify(exchange):
        if client is not None:
            client.leave()
        return watcher.err(AbortedResponse("not a connection of the edge"))  # type: ignore[no-any-return]
    exchange.is_clients = True
    app.in_flight += 1
    app.exchanges += 1
    try:
        await transport.receive()  # "websocket.connect"
        response = await app.respond(exchange, open_tunnel)
        tunnel = exchange.open_body
        if response.status == 101 and isinstance(tunnel, Tunnel):
            await transport.send({"type": "websocket.accept", "subprotocol": tunnel.connection.subprotocol})
            await Relay(exchange, tunnel, transport).run(host)
        else:
            await refuse(exchange, response, transport)
        watcher.done()
    except asyncio.CancelledError:
        watcher.done()
        raise
    except Exception as error:
        log.exception("request %s failed in its tunnel", exchange.id)
        watcher.err(AbortedResponse(repr(error)))
    finally:
        if exchange.open_body is not None:
            exchange.open_body.close(exchange.error)
            exchange.open_body = None  # it leads back to the exchange: nothing is left for the collector
        app.in_flight -= 1
        if client is not None:
            client.leave()
        exchange.ended = time.monotonic()
        pipeline = exchange.route.pipeline
        if exchange.response is not None:
            exchange.route.tally.count(exchange.response.status, 0.0)
        if pipeline.on_complete:
            pipeline.complete(exchange)


# -- refusing ------------------------------------------------------------------------------------------------------


async def refuse(exchange: Exchange, response: Response, transport: Any) -> None:
    """Answer the handshake with a response that is no 101.

    Granian adds what it had ready for a 101, `Connection: upgrade` included. Lest somebody on the way takes it for
    a tunnel and lets through whatever follows, nothing follows: the connection ends.
    """
    if response.status != 101:
        response = fit_to_send(exchange, response)
    status, body = response.status, b""
    try:
        body = await response.read(MAX_REFUSAL_BYTES)
    except GatewayError as error:
        exchange.error = error
        status = error.status
    exchange.bytes_sent = len(body)
    status = status if 200 <= status <= 599 else 502
    response.headers.set_default(*SERVER)
    headers = [*refusal_headers(response.headers.raw), (b"connection", b"close")]
    await transport.send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await transport.send({"type": "websocket.http.response.body", "body": body})


def refusal_headers(raw: RawHeaders) -> RawHeaders:
    """The fields of a refusal. A name that repeats makes Granian abort the process, so repeats are joined.

    Of several Set-Cookie, which cannot be joined (RFC 9110 5.3), the first stays.
    """
    joined: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in HOP_BY_HOP or name in (b"content-length", b"sec-websocket-accept"):
            continue
        if name not in joined:
            joined[name] = value
        elif name != b"set-cookie":
            joined[name] += b", " + value
    return list(joined.items())


# -- relaying ------------------------------------------------------------------------------------------------------


class End(NamedTuple):
    """Who ended a tunnel, and what the other side is to be told."""

    by: Literal["client", "endpoint", "gateway"]
    code: int
    reason: str = ""


def sendable(code: int, otherwise: int) -> int | None:
    """What may stand in a close frame for a code that was received; None for a frame without a code."""
    if code in _SENDABLE or 3000 <= code <= 4999:
        return code
    return None if code == NO_CODE else otherwise


class Relay:
    """The messages of one tunnel. Each side is read again when the other has taken what was read: that is all the
    buffering there is."""

    __slots__ = (
        "_active_at", "_end", "_endpoint", "_exchange", "_loop", "_timer", "_transport", "_tunnel", "ended",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, tunnel: Tunnel, transport: Any) -> None:
        self._exchange = exchange
        self._tunnel = tunnel
        self._endpoint = tunnel.connection
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[End] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when both sides are closed."""
        self._active_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, host: Host) -> None:
        """Relay until one side ends it, nothing passes for too long, or the gateway has to go."""
        host.tunnels.add(self)
        try:
            await self._close(await self._relay())
        finally:
            host.tunnels.discard(self)
            self.ended.set_result(None)

    async def _relay(self) -> End:
        self._look_at_clock()
        pumps = [self._loop.create_task(self._from_client()), self._loop.create_task(self._from_endpoint())]
        try:
            return await self._end
        finally:
            if self._timer is not None:
                self._timer.cancel()
            # Granian can send a close frame only when nobody waits in `receive`.
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def go_away(self, reason: str = "") -> None:
        """Close both sides with 1001."""
        self._finish(End("gateway", GOING_AWAY, reason))

    def _finish(self, end: End) -> None:
        if not self._end.done():
            self._end.set_result(end)

    def _look_at_clock(self) -> None:
        seconds = self._exchange.upstream.settings.timeouts.tunnel_idle
        if not seconds:
            return
        left = self._active_at + seconds - self._loop.time()
        if left <= 0:
            self.go_away("idle")
        else:
            self._timer = self._loop.call_later(left, self._look_at_clock)

    async def _from_client(self) -> None:
        exchange, endpoint, receive = self._exchange, self._endpoint, self._transport.receive
        try:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    self._finish(End("client", message.get("code", NO_CODE)))
                    return
                text = message.get("text")
                data: bytes = message["bytes"] if text is None else text.encode()
                exchange.bytes_received += len(data)
                self._active_at = self._loop.time()
                await endpoint.send(data, text=text is not None)
        except ConnectionClosed:
            pass  # The other pump knows why, and has to deliver what came before.
        except Exception as error:
            self._fail(error)

    async def _from_endpoint(self) -> None:
        exchange, endpoint, send = self._exchange, self._endpoint, self._transport.send
        try:
            while True:
                message = await endpoint.recv()
                self._active_at = self._loop.time()
                if isinstance(message, str):
                    exchange.bytes_sent += len(message) if message.isascii() else len(message.encode())
                    await send({"type": "websocket.send", "text": message})
                else:
                    exchange.bytes_sent += len(message)
                    await send({"type": "websocket.send", "bytes": message})
        except ConnectionClosed as closed:
            self._endpoint_closed(closed)
        except Exception as error:
            self._fail(error)

    def _endpoint_closed(self, closed: ConnectionClosed) -> None:
        if closed.rcvd is not None:
            self._finish(End("endpoint", closed.rcvd.code, closed.rcvd.reason))
        elif not self._end.done():
            name = self._tunnel.endpoint.name
            self._exchange.error = ResponseCut(f"endpoint {name}: left the tunnel without a close frame: {closed}")
            log.warning("request %s: %s", self._exchange.id, self._exchange.error)
            self._finish(End("endpoint", INTERNAL_ERROR))

    def _fail(self, error: Exception) -> None:
        log.error("request %s failed in its tunnel", self._exchange.id, exc_info=error)
        self._finish(End("gateway", INTERNAL_ERROR))

    async def _close(self, end: End) -> None:
        if end.by != "client":
            code = sendable(end.code, INTERNAL_ERROR)
            if code is not None:  # Granian ends with a frame without a code of its own accord.
                await self._close_client(code, end.reason)
        elif end.code == NO_CODE:
            # Granian holds it back if the client has closed, by a frame or altogether; else it has failed it.
            with contextlib.suppress(RuntimeError):
                await self._close_client(POLICY_VIOLATION, UNREAD)
        if end.by != "endpoint":
            await self._endpoint.shut(sendable(end.code, GOING_AWAY), end.reason)

    async def _close_client(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._transport.send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            log.info("request %s: the client takes nothing, not even a close frame", self._exchange.id)
