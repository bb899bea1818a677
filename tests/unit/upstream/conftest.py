"""Endpoints for tests of the upstream side: real sockets that say literal bytes, and a transport that is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway import Endpoint
from gateway.config.model import EndpointSettings, Upstream
from gateway.upstream.http1 import Http1Connection
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.ticker import Ticker

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Served:
    """A listening socket whose connections stay open until the test ends."""

    def __init__(self) -> None:
        self.url = ""
        self.accepted = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request head with OK."""
        self.accepted += 1
        self.writers.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """An endpoint that answers each request with 200."""
    found = Served()
    server = await asyncio.start_server(found.accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield found
    server.close()
    for writer in found.writers:
        writer.transport.abort()
    await server.wait_closed()


@pytest.fixture
def make_pool() -> Callable[..., ConnectionPool]:
    """A pool: `make_pool("http://127.0.0.1:9", pool={"max_connections": 2}, timeouts={…})`."""

    def make(url: str = "http://127.0.0.1:9", **settings: object) -> ConnectionPool:
        upstream = Upstream.model_validate({"endpoints": [url], **settings})
        endpoint = Endpoint(EndpointSettings(url=url))
        endpoint.pool = ConnectionPool(endpoint, upstream, None, Ticker())
        return endpoint.pool

    return make


class Wire(asyncio.Transport):
    """A transport without a socket: keeps what is written, and remembers how it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_reading = True
        self.end = ""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return bool(self.end)

    def close(self) -> None:
        self.end = self.end or "closed"

    def abort(self) -> None:
        self.end = "aborted"

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


class Line:
    """A connection over such a transport, fed by hand."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.wire = Wire()
        pool.ticker.wake()
        self.connection = Http1Connection(pool)
        self.connection.connection_made(self.wire)
        self._is_lost = False

    def feed(self, *pieces: bytes) -> None:
        """Let pieces arrive, for as long as the connection has not been given up."""
        for piece in pieces:
            if not self.wire.is_closing():
                self.connection.data_received(piece)

    def lose(self, error: Exception | None = None) -> None:
        """End the connection."""
        if not self._is_lost:
            self._is_lost = True
            self.connection.connection_lost(error)


@pytest.fixture
def make_line(make_pool) -> Callable[..., Line]:
    """A connection without a socket, with the settings of its upstream: `make_line(max_response_header=100)`."""
    return lambda **settings: Line(make_pool(**settings))
