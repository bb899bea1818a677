"""The origins of the demos: tiny HTTP/1.1 servers that can die and come back.

Owns the wire, the port and the counts. What an origin says is told by its tour.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeAlias

HEALTH_PATH = "/healthz"
BUSY_SECONDS = 0.1

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE).search


class Question(NamedTuple):
    """The head of a request."""

    method: str
    target: str
    head: bytes


class Reply(NamedTuple):
    """What is said to it; length and connection are added on the wire."""

    body: bytes
    fields: tuple[str, ...] = ("Content-Type: text/plain",)
    status: str = "200 OK"


Answering: TypeAlias = Callable[[Question], Awaitable[Reply]]


class Origin:
    """A server on a port of its own, which it keeps when it dies."""

    def __init__(self, name: str, answer: Answering) -> None:
        self.name = name
        self.address = ""
        self.served = 0
        """Requests that were answered, without those that only asked whether it is well."""
        self._answer = answer
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
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. False if the connection cannot carry another one."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH(head)
        await _skip(reader, int(length[1]) if length else 0)
        method, _, target = head.partition(b"\r\n")[0].decode("latin-1").rpartition(" ")[0].partition(" ")
        is_health = target == HEALTH_PATH
        reply = Reply(b"") if is_health else await self._answer(Question(method, target, head))
        is_chunked = b"\r\ntransfer-encoding:" in head.lower()  # not read: answer early and close
        lines = [f"HTTP/1.1 {reply.status}", *reply.fields]
        if not reply.status.startswith("304"):
            lines.append(f"Content-Length: {len(reply.body)}")
        if is_chunked:
            lines.append("Connection: close")
        body = b"" if method == "HEAD" else reply.body
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await writer.drain()
        self.served += not is_health
        return not is_chunked


async def _skip(reader: asyncio.StreamReader, count: int) -> None:
    while count > 0:
        count -= len(await reader.readexactly(min(count, 1 << 16)))


@asynccontextmanager
async def serving(name: str, answer: Answering) -> AsyncIterator[Origin]:
    """An origin that serves until the end of the block."""
    origin = Origin(name, answer)
    await origin.start()
    try:
        yield origin
    finally:
        origin.die()
