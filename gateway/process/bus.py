"""The bus between processes: orjson lines over a socket pair per worker, with the supervisor as the hub.

Owns the wire. Topics under `worker.` and `supervisor.` are between a worker and its supervisor; every other
message reaches the subscribers of all workers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson

from gateway.bus import Bus

log = logging.getLogger("gateway.bus")

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Link:
    """One end of a socket pair that carries topics and messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Link:
        """A link over a connected socket."""
        reader, writer = await asyncio.open_connection(sock=end, limit=MAX_MESSAGE_BYTES)
        return cls(reader, writer)

    def send(self, topic: str, message: Any = None, keep: str = "") -> None:
        """Send without waiting; a link that is closed swallows it. Raises ValueError for what is too large."""
        line = orjson.dumps([topic, message, keep]) + b"\n"
        if len(line) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message on {topic!r} has {len(line)} bytes; {MAX_MESSAGE_BYTES} is the most")
        if not self._writer.is_closing():
            self._writer.write(line)

    async def messages(self) -> AsyncIterator[tuple[str, Any, str]]:
        """Every message, with its topic and the key that it is kept under, until the other side is gone."""
        try:
            while line := await self._reader.readline():
                topic, message, keep = orjson.loads(line)
                yield topic, message, keep
        except ConnectionError:
            pass  # killed, or gone without reading everything: an end like any other
        except ValueError as error:
            log.error("the bus broke: %s", error)

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


class WorkerBus(Bus):
    """What a worker's plugins see: their messages go to their own subscribers and to every other worker."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def publish(self, topic: str, message: Any, keep: str = "") -> None:
        """Send a message to every subscriber of every worker."""
        self.deliver(topic, message, keep)
        self._link.send(topic, message, keep)
