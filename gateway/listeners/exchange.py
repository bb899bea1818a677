"""From a Granian request to an Exchange, and from its response back to Granian.

Owns the client's side of an exchange: reading its body, sending to it, noticing that it left. Does not know
sockets and does not decide anything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import (
    BodyBroken,
    BodyTooLarge,
    BodyTooSlow,
    ClientDisconnected,
    ClientStalled,
    GatewayError,
    PluginError,
    is_cancelled,
)
from gateway.light import as_task
from gateway.listeners.connections import Client, Clients
from gateway.listeners.fitting import check_length, fit_to_send, leave_unread, unfit_piece
from gateway.listeners.pace import BodyPace, fulfil, taken
from gateway.listeners.request import read_request
from gateway.model import Exchange, Response

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.listeners.inner import Inner
    from gateway.listeners.websocket import Relay

log = logging.getLogger("gateway.listeners")


SLICE_BYTES = 32 * 1024
STREAM_SLICE_BYTES = 16 * 1024
"""The same for a stream of HTTP/2, of which a client can have many."""
PROVEN_BYTES = 1024 * 1024
"""A body is sent in slices until so much is gone. Granian queues several pieces, whatever their size, so larger
ones are for clients that take them; this is more than what the system holds for a client that takes nothing."""

SLOW_SECONDS = 1.0

REST_BYTES = 64 * 1024
REST_SECONDS = 0.05
"""How much of a request body that nobody asks for is read, and for how long, so that the connection can be kept."""


class Host:
    """What a listener serves with: the App of the moment, which a reload replaces by one assignment."""

    __slots__ = ("app", "clients", "edge", "is_draining", "listener", "tunnels")

    def __init__(self, app: App, listener: str = "", clients: Clients | None = None) -> None:
        self.app = app
        self.listener = listener
        self.clients = clients
        """Who has exchanges under way, where somebody needs to know that."""
        self.edge: Inner | None = None
        """Who knows the clients, if connections come through an edge."""
        self.is_draining = False
        """Ask HTTP/1 clients to come again on another connection."""
        self.tunnels: set[Relay] = set()
        """WebSockets that are open."""

    def close_tunnels(self) -> None:
        """Close every tunnel with 1001 on both sides: at the deadline of a drain, before the listener stops."""
        for tunnel in list(self.tunnels):
            tunnel.go_away()

    async def end_tunnels(self, seconds: float) -> None:
        """Give tunnels so many seconds to end by themselves, close the rest, and return when none is left.

        Granian's stop does not wait for them, so this comes before `HttpListener.stop`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.tunnels and (left := deadline - loop.time()) > 0:
            await asyncio.wait([tunnel.ended for tunnel in self.tunnels], timeout=left)
        while self.tunnels:
            self.close_tunnels()
            await asyncio.wait([tunnel.ended for tunnel in self.tunnels])


class AbortedResponse(Exception):
    """Given to Granian so that it cuts the client's connection: a truncated body must not look complete."""


async def serve_http(host: Host, watcher: Any) -> None:
    """Carry one HTTP request through the App and send what comes of it."""
    # hot: plain
    app = host.app
    exchange = HttpExchange(app, read_request(watcher.scope), host.listener)
    exchange.transport = watcher.proto
    client = exchange.client = None if host.clients is None else host.clients.enter(exchange.request)
    if client is not None and client.is_condemned:
        client.leave()
        return watcher.err(AbortedResponse("its connection is about to be cut"))  # type: ignore[no-any-return]
    if host.edge is not None and not host.edge.identify(exchange):
        if client is not None:
            client.leave()
        return watcher.err(AbortedResponse("not a connection of the edge"))  # type: ignore[no-any-return]
    if exchange.request.has_body:
        exchange.request.body = exchange
    app.in_flight += 1
    app.exchanges += 1
    try:
        response = await app.respond(exchange)
        if host.is_draining or (exchange.request.has_body and not await exchange.read_rest()):
            exchange.announce_close(response)
        if type(response.body) is bytes:
            exchange.send_whole(response)
        else:
            await exchange.send_streamed(response)
        watcher.done()
    except GatewayError as error:
        error.with_traceback(None)  # its frames lead back to the exchange and hold the body, which may hold a file
        if isinstance(error, PluginError):
            log.error("request %s: %s", exchange.id, error)
        exchange.error = exchange.error or error
        watcher.err(AbortedResponse(str(error)))
    except BaseException as error:
        if is_cancelled(error):
            watcher.err(AbortedResponse("cut at the deadline of a drain"))
            raise
        log.exception("request %s failed while its response was sent%s", exchange.id, _wrappers(exchange))
        exchange.error = exchange.error or PluginError(f"the response's body failed: {error!r}")
        watcher.err(AbortedResponse(repr(error)))
    finally:
        exchange.finish()
        if client is not None:
            client.leave(has_stalled=isinstance(exchange.error, ClientStalled))


def _wrappers(exchange: Exchange) -> str:
    """Who may have wrapped its body, which says where to look when that fails."""
    names = [step.plugin for step in exchange.route.pipeline.wrap_response_body]
    return f"; its body may be wrapped by {', '.join(map(repr, names))}" if names else ""


class HttpExchange(Exchange):
    """An exchange together with its client's side: the request body as it arrives, and the way of the response."""

    # hot: plain. One object and no cycle for requests without a body.
    is_clients = True
    transport: Any
    """Granian's side. It holds the request body, and with that the connection, until `finish` lets go of it."""
    client: Client | None = None
    """Its connection, where that is kept track of."""
    _receiving: Any = None
    """The piece of the body that is waited for."""
    _is_read = False
    _is_stalled = False
    """Whether there is no use in waiting for more of the body."""
    _is_done = False
    _on_left: Callable[[GatewayError], None] | None = None
    _watching: asyncio.Task[None] | None = None
    _pace: BodyPace | None = None
    """How the body arrives; known once some of it was waited for."""
    _is_slow = False
    """Whether the client took long for the last piece: then the next ones are small, too."""
    _left: GatewayError | None = None
    """That the client left; sending to it goes well all the same."""

    def finish(self) -> None:
        """The exchange is over, however it ended."""
        # hot: plain
        self._is_done = True
        self._on_left = None  # it leads back to us: nothing is left for the collector
        self.request.body = None
        if self.open_body is not None:
            self.open_body.close(self.error)
        self.app.in_flight -= 1
        self.ended = ended = time.monotonic()
        route = self.route
        if self.response is not None:
            route.tally.count(self.response.status, ended - self.started)
        pipeline = route.pipeline
        if pipeline.on_complete:
            pipeline.complete(self)
        if self.error is not None:
            self.error.with_traceback(None)  # its frames lead back to us, too
        if self._receiving is not None:
            self._receiving.cancel()
        self.transport = None

    # -- reading -----------------------------------------------------------------------------------------------

    @property
    def is_spent(self) -> bool:
        """Whether some of the request body has been read already."""
        return self._is_read or self.bytes_received > 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next piece of the request body. Raises BodyTimeout, BodyTooSlow, BodyTooLarge or BodyBroken."""
        if self._is_read:
            raise StopAsyncIteration
        if self._is_stalled:
            raise BodyBroken
        if self._pace is None:
            self._pace = BodyPace(self.bounds or self.app.bounds)
        began, seconds = time.monotonic(), self._pace.seconds_left()
        message = await self._receive_within(seconds)
        if message is None:
            raise self._pace.lapsed(seconds)
        if message["type"] == "http.disconnect":
            self._is_stalled = True
            raise BodyBroken
        data: bytes = message["body"]
        if message["more_body"]:
            self._mind_pace(self._pace, time.monotonic() - began, len(data))
        if not message["more_body"]:
            self._finish_reading()
        if not data:
            if self._is_read:
                raise StopAsyncIteration
            return await self.__anext__()
        return self._count(data)

    def _mind_pace(self, pace: BodyPace, seconds: float, size: int) -> None:
        try:
            pace.came(seconds, size)
        except BodyTooSlow:
            self._is_stalled = True
            raise

    async def _receive_within(self, seconds: float) -> dict[str, Any] | None:
        """What comes next of the body; None if nothing came in time."""
        try:
            async with asyncio.timeout(seconds or None):
                return await self._receive()
        except TimeoutError:
            self._is_stalled = True
            return None

    async def _receive(self) -> dict[str, Any]:
        """What comes next of the body. Nothing is lost if this is cancelled: the next call waits for the same."""
        receiving = self._receiving or self.transport.receive()
        if hasattr(receiving, "add_done_callback"):  # else it is there
            self._receiving = receiving
            arrived = asyncio.get_running_loop().create_future()
            receiving.add_done_callback(partial(fulfil, arrived))
            await arrived
            self._receiving = None
        message: dict[str, Any] = await receiving
        return message

    def _count(self, data: bytes) -> bytes:
        most = (self.bounds or self.app.bounds).max_body
        self.bytes_received += len(data)
        if most and self.bytes_received > most:
            raise BodyTooLarge(most)
        return data

    @property
    def _is_whole(self) -> bool:
        """Whether the client owes nothing more of its body; one of known length may end without a further word."""
        return self._is_read or self.request.length == self.bytes_received

    async def read_rest(self) -> bool:
        """Read what nobody asked for of the body, if it is little and on its way; whether that is all of it now.

        If not, HTTP/1 leaves no way to a next request on this connection (RFC 9112 9.3).
        """
        if self._is_whole:
            return True
        length = self.request.length
        left = length - self.bytes_received if length is not None else 0
        if self._is_stalled or self.open_body is not None or left > REST_BYTES or b"expect" in self.request.headers:
            return False
        if self.request.http_version == "2":
            return False  # the stream ends, not the connection
        await as_task()
        loop = asyncio.get_running_loop()
        deadline, size = loop.time() + REST_SECONDS, 0
        while size <= REST_BYTES and (seconds := deadline - loop.time()) > 0:
            message = await self._receive_within(seconds)
            if message is None or message["type"] == "http.disconnect":
                return False
            size += len(message["body"])
            if not message["more_body"] or size == left:
                return True
        return False

    def _finish_reading(self) -> None:
        self._is_read = True
        if self._on_left is not None:
            self._start_watching()

    def watch_client(self, on_left: Callable[[GatewayError], None]) -> None:
        """Look after the client from now on; while it sends a body, reading that will tell."""
        self._on_left = on_left
        if (self._is_read or not self.request.has_body) and self._watching is None:
            self._start_watching()

    def _start_watching(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch(self.transport.receive))

    async def _watch(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self._is_done and self._on_left is not None:
            self._on_left(ClientDisconnected())

    # -- sending -----------------------------------------------------------------------------------------------

    def announce_close(self, response: Response) -> None:
        """Tell an HTTP/1 client that its connection ends with this response (RFC 9112 9.6)."""
        if self.request.http_version != "2":
            response.headers.set(b"connection", b"close")

    def send_whole(self, response: Response) -> None:
        """Send a response whose body is there: one write, nothing to wait for."""
        # hot: plain
        send, status, body = self.transport.send, response.status, response.body
        try:
            if not 200 <= status <= 599:
                raise TypeError
        except TypeError:
            response = fit_to_send(self, response)
            status, body = response.status, response.body
        send({"type": "http.response.start", "status": status, "headers": response.headers.raw})
        send({"type": "http.response.body", "body": body, "more_body": False})
        if self.request.method != "HEAD":
            self.bytes_sent = len(body)  # type: ignore[arg-type]  # bytes, as the caller has seen

    async def send_streamed(self, response: Response) -> None:
        """Send piece by piece, as fast as the client takes it. Raises GatewayError if the body fails."""
        # hot: large
        await as_task()
        response = fit_to_send(self, response)
        if self.request.method == "HEAD":
            await leave_unread(response)
        send, body = self.transport.send, response.body
        if isinstance(body, bytes):
            self.send_whole(response)
            return
        send({"type": "http.response.start", "status": response.status, "headers": response.headers.raw})
        self.watch_client(self._cut)
        source: Any = self.open_body
        most = SLICE_BYTES if self.request.http_version != "2" else STREAM_SLICE_BYTES
        is_wrapped = body is not source  # by a plugin: who knows when its first piece comes, and whether
        if is_wrapped or not source.has_data():
            await send({"type": "http.response.body", "body": b"", "more_body": True})  # Granian holds the head
        async for piece in body:
            if self._left is not None:
                raise self._left
            if type(piece) is not bytes:
                raise unfit_piece(self, piece)
            if len(piece) > most and (self.bytes_sent < PROVEN_BYTES or self._is_slow):
                for start in range(0, len(piece), most):
                    await self._send_piece(piece[start : start + most])
            elif piece:
                sending = self._send_piece(piece)
                del piece  # Granian has its own copy, and a slow client may take long
                await sending
        if is_wrapped:
            check_length(self, response)
        send({"type": "http.response.body", "body": b"", "more_body": False})

    def _send_piece(self, piece: bytes) -> Awaitable[None]:
        """Send a piece; what to await until the client takes more."""
        # hot: large
        self.bytes_sent += len(piece)
        sending: Awaitable[None] = self.transport.send(
            {"type": "http.response.body", "body": piece, "more_body": True}
        )
        return sending if self.request.http_version != "2" else self._taken(sending)

    async def _taken(self, sending: Awaitable[None]) -> None:
        began = time.monotonic()
        await taken(sending, self.client, self.app.bounds.send_timeout)
        self._is_slow = time.monotonic() - began > SLOW_SECONDS

    def _cut(self, error: GatewayError) -> None:
        self._left = error
        if self.open_body is not None:
            self.open_body.fail(error)
