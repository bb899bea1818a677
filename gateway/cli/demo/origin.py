"""The origins of the demo: tiny HTTP/1.1 servers that say their names, and can die and come back.

Owns what they answer and count.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HEALTH_PATH = b"/healthz"
BUSY_SECONDS = 0.1

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE).search


class Origin:
    """A server on a port of its own, which it keeps when it dies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self.served = 0
        """Requests that were answered, without those that only asked whether it is well."""
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen: the first time on any free port, later on the same one."""
        host, _, port = (self.address or "127.0.0.1:0").rpartition(":")
        while self._server is None:
            try:
                self._server = await asyncio.start_server(self._serve, host, int(port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not self.address:
                    raise
                await asyncio.sleep(BUSY_SECONDS)  # a client was given our port meanwhile
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    def die(self) -> None:
        """Cut every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. False if the connection cannot carry another one."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH(head)
        await _skip(reader, int(length[1]) if length else 0)
        method, _, target = head.partition(b"\r\n")[0].rpartition(b" ")[0].partition(b" ")
        body = b"Hello from %b: %b %b\n" % (self.name.encode(), method, target)
        is_chunked = b"\r\ntransfer-encoding:" in head.lower()  # not read: answer early and close
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b\r\n%b"
            % (len(body), b"Connection: close\r\n" if is_chunked else b"", b"" if method == b"HEAD" else body)
        )
        await writer.drain()
        self.served += target != HEALTH_PATH
        return not is_chunked


async def _skip(reader: asyncio.StreamReader, count: int) -> None:
    while count > 0:
        count -= len(await reader.readexactly(min(count, 1 << 16)))


@asynccontextmanager
async def serving(name: str) -> AsyncIterator[Origin]:
    """An origin that serves until the end of the block."""
    origin = Origin(name)
    await origin.start()
    try:
        yield origin
    finally:
        origin.die()
