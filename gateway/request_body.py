"""The way of a request body upstream: what was read before an endpoint was asked, and a task for the rest.

Owns the framing that the endpoint sees. Does not know attempts: whether it can be sent again it says itself.
"""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError, PluginError
from gateway.model import Exchange
from gateway.pipeline import SEE_REQUESTS, Pipeline, suspects, wrap

if TYPE_CHECKING:
    from gateway.upstream.http1 import Http1Connection

FIRST_PIECE_SECONDS = 0.05
"""How long a body of unknown length may keep the head waiting."""

CHUNKED = b"transfer-encoding: chunked\r\n"


async def prepare_body(exchange: Exchange, pipeline: Pipeline) -> RequestBody:
    """Read the first piece before any endpoint is bothered; most bodies are whole with it."""
    source: Any = exchange.request.body
    if not hasattr(source, "__aiter__"):
        raise PluginError(
            f"{suspects(exchange, SEE_REQUESTS)} left a request with the body {reprlib.repr(source)}: "
            "it is a WholeBody(bytes) or an asynchronous iterator of bytes"
        )
    if getattr(source, "is_spent", False):
        raise PluginError(
            "a plugin has read the request's body, and nothing is left to forward; "
            "`await exchange.request.read()` leaves it there"
        )
    length = exchange.request.body_length
    wrapped: AsyncIterable[bytes] = source
    if pipeline.wrap_request_body:
        wrapped = wrap(pipeline.wrap_request_body, exchange, source, "wrap_request_body", len(pipeline.plugins))
        if wrapped is not source:
            length = None
    body = RequestBody(exchange, wrapped, length)
    await body.read_first()
    return body


class RequestBody:
    """What was read first, and a task for the rest."""

    __slots__ = (
        "_exchange", "_left", "_length", "_pieces", "_reading", "_task", "first", "framing", "is_started",
        "is_whole",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, source: AsyncIterable[bytes], length: int | None) -> None:
        self._exchange = exchange
        self._pieces = aiter(source)
        self._length = self._left = length
        self._reading: asyncio.Future[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self.first = b""
        self.is_whole = False
        """Whether `first` is all of it, so that it can be sent again."""
        self.is_started = False
        """Whether a byte of it went out."""
        self.framing = CHUNKED if length is None else b"content-length: %d\r\n" % length

    async def read_first(self) -> None:
        """Read the first piece. A body of unknown length that ends with it gets a known length."""
        if self._length is not None:
            self.first = self._checked(await anext(self._pieces, b""))
            self.is_whole = len(self.first) == self._length
            return
        # Some clients say their first word only after the other side's: the head must not wait for it.
        self._reading = asyncio.ensure_future(anext(self._pieces, b""))
        await asyncio.wait((self._reading,), timeout=FIRST_PIECE_SECONDS)
        if self._reading.done():
            self.first = self._checked(self._reading.result())
            self._reading = None
            if not self.first:
                self.is_whole = True
                self.framing = b"content-length: 0\r\n"

    def send(self, connection: Http1Connection, head: bytes) -> None:
        """Send head and body; what has not arrived yet follows while the response is awaited."""
        self.is_started = True
        if self.is_whole:
            connection.write(head + self.first)
        else:
            connection.write(head + self._encode(self.first))
            self._task = connection.loop.create_task(self._send_rest(connection))

    async def _send_rest(self, connection: Http1Connection) -> None:
        try:
            connection.deadline = 0.0
            if self._reading is not None:
                connection.write(self._encode(await self._reading))
            async for piece in self._pieces:
                connection.write(self._encode(piece))
                await connection.drain()
                connection.deadline = 0.0
            if self._length is None:
                connection.write(b"0\r\n\r\n")
            elif self._left:
                raise self._mismatch("less")
            if not connection.status:
                connection.allow(connection.pool.timeouts.response)
        except GatewayError as error:
            connection.fail(error)
        except Exception as error:
            wrong = PluginError(f"{suspects(self._exchange, SEE_REQUESTS)} failed in a request's body: {error!r}")
            wrong.__cause__ = error
            connection.fail(wrong)

    def abandon(self) -> None:
        """Nobody will send it any more."""
        self.stop()
        if self._reading is not None:
            self._reading.cancel()

    def _encode(self, piece: bytes) -> bytes:
        self._checked(piece)
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:  # the endpoint would take what is over for the next request
                raise self._mismatch("more")
            return piece
        return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""

    def _checked(self, piece: object) -> bytes:
        if isinstance(piece, bytes):
            return piece
        who = suspects(self._exchange, SEE_REQUESTS)
        raise PluginError(f"{who} gave {reprlib.repr(piece)} as a piece of a request's body: it is bytes")

    def _mismatch(self, what: str) -> PluginError:
        who = suspects(self._exchange, SEE_REQUESTS)
        return PluginError(
            f"{who} put {what} into a request's body than the {self._length} bytes that were announced: "
            "put a WholeBody there, or use wrap_request_body"
        )

    def stop(self) -> bool:
        """End the sending; whether it was still under way, so that the connection is out of step."""
        task, self._task = self._task, None
        if task is None or (task.done() and not task.cancelled()):
            return False
        task.cancel()
        return True
