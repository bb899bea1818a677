"""One HTTP/1.1 connection to an endpoint: write a request, read its response, and be kept if that is safe.

A uvloop protocol. Owns the transport, back-pressure both ways, deadlines, and who waits for what. Does not judge
what is read (`response_reader`), does not pick endpoints and does not retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from gateway.errors import BadResponse, GatewayError, ResponseCut, StaleConnection, UpstreamClosed, UpstreamTimeout
from gateway.light import Arrival, Waiter
from gateway.upstream.response_head import UNTIL_CLOSE
from gateway.upstream.response_reader import ResponseReader
from gateway.upstream.ticker import PERIOD_SECONDS

if TYPE_CHECKING:
    from gateway.upstream.pool import ConnectionPool

Watch: TypeAlias = Callable[[Callable[[GatewayError], None]], None]
"""Takes the function to call if the client leaves."""

HIGH_WATER_BYTES = 64 * 1024
"""Body bytes held for a slow client before the endpoint is read no further."""

JOINED_BYTES = 32 * 1024
"""Up to here it is cheaper to join small pieces than to send them one by one."""

SLOW_SECONDS = 0.5
"""Without a response head for so long, somebody should look whether the client is still there."""


class Http1Connection(ResponseReader, asyncio.Protocol):
    """A connection that serves one exchange at a time.

    The order of calls is `begin`, `write` (and `drain`), `head`, then `read` until it gives nothing, and
    `end`. `abort` ends everything at once.
    """

    __slots__ = (
        "_arrival", "_is_busy", "_is_paused", "_slow_at", "_transport", "_waiter", "_watch", "_write_waiter",
        "deadline", "idle_since", "loop", "pool",
    )  # fmt: skip

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__(pool.endpoint.name, pool.max_head_bytes)
        self.pool = pool
        self.loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.deadline = 0.0
        """When the endpoint's silence becomes an error; 0 for never. By the loop's clock."""
        self._transport: asyncio.Transport | None = None
        self._is_busy = False
        self._is_paused = False
        self._waiter: Waiter | None = None
        self._arrival = Arrival()  # one at a time is enough, so it is used again and again
        self._write_waiter: asyncio.Future[None] | None = None
        self._watch: Watch | None = None
        self._slow_at = 0.0

    # -- for whoever forwards ----------------------------------------------------------------------------------

    def begin(self, method: str, watch: Watch | None = None) -> None:
        """Get ready for the response to a request.

        If the head is long in coming, `watch` is called once with the function to call if the client leaves.
        """
        # hot: plain
        self.expect(method)
        self._is_busy = True
        self.is_usable = False
        self._watch = watch
        pool = self.pool
        now = pool.ticker.now
        self._slow_at = now + SLOW_SECONDS
        seconds = pool.response_seconds
        self.deadline = now + seconds + PERIOD_SECONDS if seconds else 0.0

    def write(self, data: bytes) -> None:
        """Send bytes; after much of it, await `drain`. Raises an UpstreamError if the connection is gone."""
        if self._error is not None:
            raise self._error
        if self._transport is None:
            raise self._lost()
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the endpoint takes more. Its silence meanwhile is bounded by `timeouts.idle`."""
        if self._write_waiter is not None:
            self.allow(self.pool.timeouts.idle)
            await self._write_waiter
        if self._error is not None:
            raise self._error

    def allow(self, seconds: float) -> None:
        """Give the endpoint so many seconds from now on; 0 for no limit."""
        self.deadline = self.loop.time() + seconds if seconds else 0.0

    def head(self) -> Waiter:
        """What to await for the response head: `status` and `headers` hold it then. Raises an UpstreamError."""
        # hot: plain. No coroutine of its own, since every exchange passes here.
        waiter = self._wait()
        if self._error is not None or self.is_head_done:
            self.loop.call_soon(self._wake)
        return waiter

    def _wait(self) -> Waiter:
        """A waiter that fits how the caller is driven, and that `_wake` will fulfil."""
        # hot: plain
        is_light = asyncio.current_task(self.loop) is None
        self._waiter = waiter = self._arrival.renewed() if is_light else self.loop.create_future()
        return waiter

    def take_body(self) -> bytes:
        """All that has arrived of the body, without waiting."""
        # hot: plain
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        if self._is_paused:
            self._resume()
        return data

    def _take_piece(self) -> bytes:
        """The next piece to pass on: small ones are joined, since each costs its own way to the client.

        A connection that was paused stays so: no more is read while there is something to pass on.
        """
        # hot: large
        if self._size <= JOINED_BYTES:
            return self.take_body()
        data = self._chunks.pop(0)
        self._size -= len(data)
        return data

    def _resume(self) -> None:
        self._is_paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    @property
    def has_data(self) -> bool:
        """Whether `read` has something to give at once."""
        return bool(self._chunks) or self.is_complete

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end. Raises ResponseCut if the endpoint ends or stalls in it."""
        while not self._chunks:
            if self._is_paused:
                self._resume()
            if self.is_complete:
                return b""
            if self._error is not None:
                raise self._error
            self.allow(self.pool.timeouts.idle)
            await self._wait()
        self.deadline = 0.0
        return self._take_piece()

    def fail(self, error: GatewayError) -> None:
        """End the exchange with an error, now."""
        if self._error is None:
            self._error = error
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        self.is_usable = False
        if self._transport is not None:
            self._transport.close()

    def tick(self, now: float) -> None:
        """Notice a passed deadline, and a client that waits long."""
        if self.deadline and now > self.deadline:
            name = self.pool.endpoint.name
            if self.is_head_done:
                self.fail(ResponseCut(f"endpoint {name}: no further byte of the body in time"))
            else:
                self.fail(UpstreamTimeout(f"endpoint {name}: no response head in time"))
        elif self._watch is not None and now > self._slow_at:
            watch, self._watch = self._watch, None
            watch(self.fail)

    # -- for the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        """Bytes from the endpoint."""
        # hot: plain, large
        if self._is_busy and not self._head_bytes and self.take_whole(data):
            self._watch = None
            self.deadline = 0.0
            self._wake()
            return
        if self._raw_left:
            data = self.take_raw(data)
            if not data:
                self._go_on()
                return
        if not self._is_busy or self.is_complete:
            self.surplus()
            self._wake()
            return
        if not self.is_head_done:
            self.feed_heads(data)
        elif self._is_in_trailers and self.trailers_are_too_long(data):
            return
        else:
            self.feed(data)
        if self.is_head_done:
            self._go_on()

    def _go_on(self) -> None:
        """Let whoever waits have what is there. The exchange may go on within this call: nothing may follow it."""
        # hot: plain, large
        if self._size > HIGH_WATER_BYTES and not self.is_complete:
            self._pause()
        self._wake()

    def head_came(self) -> None:
        """The final head is there: the endpoint is not slow any more."""
        self._watch = None
        self.deadline = 0.0

    def eof_received(self) -> bool:
        """The endpoint sends no more; everything else is said by `connection_lost`."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: find out what that means for the exchange."""
        self.is_usable = False
        self._transport = None
        self.pool.forget(self)
        self.resume_writing()
        if self._is_busy and not self.is_complete:
            if self._length == UNTIL_CLOSE and self.is_head_done and exc is None and self._error is None:
                self.is_complete = True
            elif self._error is None:
                self._error = self._lost()
            self._wake()

    def pause_writing(self) -> None:
        """The endpoint does not keep up with the request body."""
        if self._write_waiter is None:
            self._write_waiter = self.loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        waiter, self._write_waiter = self._write_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- decisions ---------------------------------------------------------------------------------------------

    def surplus(self) -> None:
        """Bytes that nobody asked for: the connection is out of step and can serve no further exchange."""
        self.is_usable = False
        self.pool.forget(self)
        if not self._is_busy and self._transport is not None:
            self._transport.abort()

    def _lost(self) -> GatewayError:
        if self.is_head_done:
            return ResponseCut(self._says("closed the connection within the body"))
        if self._head_bytes:
            return BadResponse(self._says("closed the connection within the response head"))
        if self.has_served:
            return StaleConnection(self._says("closed a kept connection"))
        return UpstreamClosed(self._says("closed the connection without a response"))

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None:
            return
        self._waiter = None
        if not waiter.done():
            if self._error is not None and not (self._chunks and self.is_head_done):
                waiter.set_exception(self._error)
            else:
                waiter.set_result(None)

    def end(self) -> None:
        """The exchange is over: back to the pool, or closed if the response was not read to its end."""
        # hot: plain
        self._is_busy = False
        self.deadline = 0.0
        self._watch = None
        if not self.is_complete:
            self.abort()
        elif self._is_paused:
            self._resume()
        self.pool.release(self)

    def __repr__(self) -> str:
        state = "busy" if self._is_busy else "usable" if self.is_usable else "closed"
        return f"<Http1Connection {self.pool.endpoint.name}: {state}>"
