"""A WebSocket to an endpoint: the upgrade over a connection of its own, then messages (RFC 6455).

Owns the handshake as it stands on the wire and how the connection ends. Framing, masking and the closing
handshake are those of `websockets`. Does not pick endpoints and does not know the client.

`websockets.connect` is passed by, because a proxy may not do what it does for a client: take the request target
apart and put it together again, follow redirects, write its own Host.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.datastructures import Headers as WireHeaders
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from gateway.errors import BadResponse, GatewayError, UpstreamClosed, UpstreamTimeout
from gateway.headers import RawHeaders
from gateway.upstream.message import HOP_BY_HOP, incoming_headers, request_head
from gateway.upstream.pool import ConnectionPool

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""As large as Granian takes them from clients."""

MAX_WAITING_FRAMES = 2
"""Frames held for a slow client before the endpoint is read no further."""

CLOSE_SECONDS = 2.0
"""How long the other side may take to answer a close frame and to end the connection."""

PROTOCOL_FIELD = b"sec-websocket-protocol"

_WRITTEN_BY_US = HOP_BY_HOP | {
    b"content-length", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key",
    b"sec-websocket-version",
}  # fmt: skip


class Answer(NamedTuple):
    """What an endpoint said to the upgrade: 101 and an open connection, or a response of another kind."""

    status: int
    headers: RawHeaders
    body: bytes
    connection: WebSocketConnection | None


class WebSocketConnection(ClientConnection):
    """An open WebSocket to an endpoint. Pings of the endpoint are answered here: they are this hop's affair."""

    has_answered = False
    """Whether a byte came back."""

    async def shut(self, code: int | None, reason: str = "") -> None:
        """Close with a close frame (one without a code for None), and cut the connection if that takes too long."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close(cast("int", code), reason)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes from the endpoint."""
        self.has_answered = True
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        """A frame: one that closes gives the endpoint a moment to end the connection, too (RFC 6455 7.1.1)."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
            self.loop.call_later(CLOSE_SECONDS, self.abort)


async def dial(pool: ConnectionPool, target: bytes, headers: RawHeaders) -> Answer:
    """Ask an endpoint for the upgrade. `headers` are those of the attempt, the wanted subprotocols among them.

    Raises ConnectFailed, ConnectTimeout, UpstreamTimeout, UpstreamClosed or BadResponse.
    """
    protocol = _Handshake(target, headers)
    connection = await pool.open(lambda: _connection(protocol))
    try:
        async with asyncio.timeout(pool.timeouts.response or None):
            await connection.handshake(None, None)
    except InvalidStatus as refusal:
        connection.abort()
        return _refusal(pool, refusal.response)
    except TimeoutError:
        connection.abort()
        raise UpstreamTimeout(f"endpoint {pool.endpoint.name}: no answer to the upgrade in time") from None
    except (WebSocketException, OSError) as error:
        connection.abort()
        raise _failure(pool, connection, error) from error
    except BaseException:
        connection.abort()
        raise
    response = connection.response
    assert response is not None
    return Answer(101, _fields(response), b"", connection)


def _connection(protocol: ClientProtocol) -> WebSocketConnection:
    return WebSocketConnection(
        protocol, ping_interval=None, close_timeout=CLOSE_SECONDS, max_queue=MAX_WAITING_FRAMES
    )


class _Handshake(ClientProtocol):
    """The client's side of the protocol, with the request as the attempt has it."""

    def __init__(self, target: bytes, headers: RawHeaders) -> None:
        super().__init__(WebSocketURI(False, "", 80, "/", ""), max_size=MAX_MESSAGE_BYTES)
        wanted = b",".join(value for name, value in headers if name == PROTOCOL_FIELD).decode("latin-1")
        self.available_subprotocols = [Subprotocol(word.strip()) for word in wanted.split(",") if word.strip()]
        self._target = target
        self._fields = headers

    def connect(self) -> Request:
        """The request for the upgrade."""
        upgrade = (
            b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: %b\r\n" % self.key.encode()
        )
        fields = [field for field in self._fields if field[0] not in _WRITTEN_BY_US]
        return _RawRequest(request_head(b"GET", self._target, fields, upgrade))


class _RawRequest(Request):
    """A request whose bytes are settled."""

    def __init__(self, head: bytes) -> None:
        super().__init__("/", WireHeaders())
        self._head = head

    def serialize(self) -> bytes:
        """The bytes."""
        return self._head


def _refusal(pool: ConnectionPool, response: Response) -> Answer:
    if not 200 <= response.status_code <= 599:
        raise BadResponse(f"endpoint {pool.endpoint.name}: status {response.status_code} to an upgrade")
    return Answer(response.status_code, _fields(response), bytes(response.body), None)


def _failure(pool: ConnectionPool, connection: WebSocketConnection, error: Exception) -> GatewayError:
    name = pool.endpoint.name
    if not connection.has_answered:
        return UpstreamClosed(f"endpoint {name}: closed the connection without an answer to the upgrade")
    what = error.__cause__ if isinstance(error, InvalidHandshake) and error.__cause__ else error
    return BadResponse(f"endpoint {name}: not a valid answer to the upgrade: {what}")


def _fields(response: Response) -> RawHeaders:
    """The response's fields as the client gets them."""
    raw = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.raw_items()
    ]
    return [field for field in incoming_headers(raw) if field[0] not in _WRITTEN_BY_US]
