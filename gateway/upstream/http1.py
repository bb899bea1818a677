"""One HTTP/1.1 connection to an endpoint: write a request, read its response, and be kept if that is safe.

A uvloop protocol around httptools. Owns framing, back-pressure and what makes a response malformed (RFC 9112).
Does not pick endpoints, does not retry, and does not know which headers end at this hop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.errors import BadResponse, GatewayError, ResponseCut, StaleConnection, UpstreamClosed, UpstreamTimeout
from gateway.light import Waiter, new_waiter
from gateway.upstream.message import ENDS_HERE, without_named
from gateway.upstream.response_head import (
    UNTIL_CLOSE,
    check_interim,
    framing,
    head_end,
    is_interim,
    keeps_alive,
    without_tabs,
)
from gateway.upstream.ticker import PERIOD_SECONDS

if TYPE_CHECKING:
    from gateway.headers import RawHeaders
    from gateway.model import Watch
    from gateway.upstream.pool import ConnectionPool

HIGH_WATER_BYTES = 64 * 1024
"""Body bytes held for a slow client before the endpoint is read no further."""

JOINED_BYTES = 32 * 1024
"""Up to here it is cheaper to join small pieces than to send them one by one."""

RAW_BODY_BYTES = 64 * 1024
"""From this Content-Length on the body passes by the parser: there is nothing in it to parse."""

SLOW_SECONDS = 0.5
"""Without a response head for so long, somebody should look whether the client is still there."""


class Http1Connection(asyncio.Protocol):
    """A connection that serves one exchange at a time.

    The order of calls is `begin`, `write` (and `drain`), `head`, then `read` until it gives nothing, and
    `pool.release`. `abort` ends everything at once.
    """

    __slots__ = (
        "_chunks", "_ending", "_error", "_head_bytes", "_held", "_is_busy", "_is_head_done", "_is_head_request",
        "_is_in_trailers", "_is_paused", "_length", "_must_renew", "_parser", "_raw_left", "_size", "_slow_at",
        "_trailer_bytes", "_transport", "_waiter", "_watch", "_write_waiter", "announced_length", "deadline",
        "has_served", "has_server", "headers", "idle_since", "is_complete", "is_usable", "loop", "pool", "status",
    )  # fmt: skip

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        self.loop = asyncio.get_running_loop()
        self.is_usable = False
        """Open, in step with the endpoint, and fit for a further exchange."""
        self.has_served = False
        self.idle_since = 0.0
        self.deadline = 0.0
        """When the endpoint's silence becomes an error; 0 for never. By the loop's clock."""
        self.status = 0
        self.headers: RawHeaders = []
        """The response's fields, without those that end at this hop."""
        self.announced_length: bytes | None = None
        """The response's Content-Length, as it came."""
        self.has_server = False
        """Whether the response says what made it."""
        self._ending: RawHeaders = []
        self.is_complete = False
        """Whether the whole response is here."""
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._must_renew = False
        self._is_busy = False
        self._is_head_request = False
        self._is_head_done = False
        self._is_in_trailers = False
        self._is_paused = False
        self._length = -1
        self._raw_left = 0
        self._head_bytes = 0
        self._held = b""
        self._chunks: list[bytes] = []
        self._size = 0
        self._error: GatewayError | None = None
        self._waiter: Waiter | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._watch: Watch | None = None
        self._slow_at = 0.0

    # -- for whoever forwards ----------------------------------------------------------------------------------

    def begin(self, method: str, watch: Watch | None = None) -> None:
        """Get ready for the response to a request.

        If the head is long in coming, `watch` is called once with the function to call if the client leaves.
        """
        # hot: plain
        if self._must_renew:
            self._parser = HttpResponseParser(self)
            self._must_renew = False
        self._is_busy = True
        self._is_head_request = method == "HEAD"
        self._is_head_done = self.is_complete = False
        self.is_usable = False
        self._length = -1
        self._head_bytes = self._raw_left = self._size = self.status = 0
        self.headers = []
        self._ending = []
        self._chunks = []
        self.announced_length = None
        self.has_server = self._is_in_trailers = False
        self._watch = watch
        now = self.pool.ticker.now
        self._slow_at = now + SLOW_SECONDS
        seconds = self.pool.timeouts.response
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
        self._waiter = waiter = new_waiter(self.loop)
        if self._error is not None or self._is_head_done:
            self.loop.call_soon(self._wake)
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
        """The next piece to pass on: small ones are joined, since each costs its own way to the client."""
        # hot: large
        if self._size <= JOINED_BYTES or len(self._chunks) == 1:
            return self.take_body()
        data = self._chunks.pop(0)
        self._size -= len(data)
        if self._is_paused and self._size <= HIGH_WATER_BYTES:
            self._resume()
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
            if self.is_complete:
                return b""
            if self._error is not None:
                raise self._error
            self.allow(self.pool.timeouts.idle)
            self._waiter = waiter = new_waiter(self.loop)
            await waiter
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
            if self._is_head_done:
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
        if self._raw_left:
            data = self._take_raw(data)
            if not data:
                return
        if not self._is_busy or self.is_complete:
            self._surplus()
            return
        if not self._is_head_done:
            self._feed_heads(data)
        elif self._is_in_trailers and self._trailers_are_too_long(data):
            return
        else:
            self._feed(data)
        if self._is_head_done:
            if self._size > HIGH_WATER_BYTES:
                self._pause()
            self._wake()  # the exchange goes on within this call: nothing may follow

    def _feed_heads(self, data: bytes) -> None:
        """Give the parser whole heads only, one by one, until the final one has come."""
        # hot: plain
        self._head_bytes += len(data)
        if self._held:
            data, self._held = self._held + data, b""
        try:
            end = head_end(data, self.pool.max_head_bytes)
            while end > 0 and is_interim(data):
                self._feed(without_tabs(data[:end], end))
                data = data[end:]
                if self._head_bytes - len(data) > self.pool.max_head_bytes:
                    raise ValueError("it sends interim responses without end")
                end = head_end(data, self.pool.max_head_bytes) if data and self._error is None else -1
        except ValueError as error:
            self.fail(BadResponse(self._says(f"not a valid response: {error}")))
            return
        if end < 0:
            self._held = data
        else:
            self._feed(without_tabs(data, end))

    def _trailers_are_too_long(self, data: bytes) -> bool:
        self._trailer_bytes += len(data)
        is_too_long = self._trailer_bytes > self.pool.max_head_bytes
        if is_too_long:
            self.fail(ResponseCut(self._says("sends trailers without end")))
        return is_too_long

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.fail(BadResponse(self._says("switched protocols without being asked")))
        except HttpParserError as error:
            self._garbled(error)

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
            if self._length == UNTIL_CLOSE and self._is_head_done and exc is None and self._error is None:
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

    # -- for the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins; a second one was not asked for."""
        if self.is_complete:
            self._surplus()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer field, which is dropped."""
        # hot: plain
        if not self._is_head_done:
            name = name.lower()
            if name in ENDS_HERE:
                self._ending.append((name, value.strip(b" \t")))
            else:
                self.headers.append((name, value.strip(b" \t") if value[-1:].isspace() else value))
                if name == b"server":
                    self.has_server = True

    def on_headers_complete(self) -> None:
        """The head is there: interim ones are dropped, a final one is judged."""
        # hot: plain
        if self.is_complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            check_interim(self._ending, status)
            self.headers = []
            self._ending = []
            return
        if not 200 <= status <= 599:
            raise ValueError(f"status {status}")
        self._length = framing(self._ending, status, self._is_head_request)
        for name, value in self._ending:
            if name == b"content-length":
                self.announced_length = value
            elif name == b"connection":
                self.headers = without_named(self.headers, value)
        self.status = status
        self._is_head_done = True
        self._watch = None
        self.deadline = 0.0
        if self._is_head_request:
            self._must_renew = True
            self._finish()
        elif self._length >= RAW_BODY_BYTES:
            self._raw_left = self._length

    def on_chunk_header(self) -> None:
        """A chunk begins, or the trailers do: only of those can what follows be malformed."""
        self._is_in_trailers = True
        self._trailer_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.is_complete:
            self._surplus()
            return
        self._chunks.append(body)
        self._size += len(body)
        self._is_in_trailers = False
        if self._raw_left:
            self._raw_left -= len(body)
            if not self._raw_left:
                self._must_renew = True
                self._finish()

    def on_message_complete(self) -> None:
        """The response is whole."""
        if self._is_head_done and not self.is_complete:
            self._finish()

    # -- decisions ---------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        # hot: plain
        self.is_complete = True
        self.has_served = True
        self.is_usable = self._transport is not None and (self._must_renew or self._parser.should_keep_alive())
        if self._must_renew and self.is_usable:
            self.is_usable = keeps_alive(self._ending, self._parser.get_http_version())

    def _take_raw(self, data: bytes) -> bytes:
        """Pass body bytes by the parser; what is left of `data` behind the body."""
        left = self._raw_left
        piece, rest = (data, b"") if len(data) <= left else (data[:left], data[left:])
        self._raw_left = left - len(piece)
        self._chunks.append(piece)
        self._size += len(piece)
        if not self._raw_left:
            self._must_renew = True
            self._finish()
        elif self._size > HIGH_WATER_BYTES:
            self._pause()
        self._wake()
        return rest

    def _surplus(self) -> None:
        """Bytes that nobody asked for: the connection is out of step and can serve no further exchange."""
        self.is_usable = False
        self.pool.forget(self)
        if not self._is_busy and self._transport is not None:
            self._transport.abort()

    def _garbled(self, error: HttpParserError) -> None:
        cause = error.__context__ or error
        if self.is_complete:
            self._surplus()
        elif self._is_in_trailers:
            # Trailers are dropped anyway (RFC 9110 6.5.1), and the body is whole without them.
            self._finish()
            self.is_usable = False
        elif self._is_head_done:
            self.fail(ResponseCut(self._says(f"the body is malformed: {cause}")))
        else:
            self.fail(BadResponse(self._says(f"not a valid response: {cause}")))

    def _lost(self) -> GatewayError:
        if self._is_head_done:
            return ResponseCut(self._says("closed the connection within the body"))
        if self._head_bytes:
            return BadResponse(self._says("closed the connection within the response head"))
        if self.has_served:
            return StaleConnection(self._says("closed a kept connection"))
        return UpstreamClosed(self._says("closed the connection without a response"))

    def _says(self, what: str) -> str:
        return f"endpoint {self.pool.endpoint.name}: {what}"

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
            if self._error is not None and not (self._chunks and self._is_head_done):
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
        self.pool.release(self)

    def __repr__(self) -> str:
        state = "busy" if self._is_busy else "usable" if self.is_usable else "closed"
        return f"<Http1Connection {self.pool.endpoint.name}: {state}>"
