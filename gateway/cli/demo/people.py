"""People who do not exist: a client that counts its failures, and a crowd that comes at random moments.

Owns the way of one request, which has a connection of its own. What people ask for is their tour's business.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
GOOD = (200, 206, 304)


class Answer(NamedTuple):
    """What came back: nothing at all, if the head is empty."""

    head: bytes
    body: bytes
    """As it was sent, chunks included."""
    seconds: float
    """From the wish to connect to the last byte."""

    @property
    def status(self) -> int:
        """Of the head; 0 without one."""
        return int(self.head[9:12] or 0)

    @property
    def is_good(self) -> bool:
        """Whether somebody would be content with it."""
        return self.status in GOOD

    def field(self, name: str) -> str:
        """The first line of a field, empty without one."""
        found = re.search(rb"\r\n%b: *([^\r]*)" % re.escape(name.encode()), self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else ""


class Client:
    """Asks one gateway, and counts what failed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._host = parts.netloc
        self.failed = 0

    async def get(self, path: str, *fields: str) -> Answer:
        """The whole answer. Fields are written `name: value`."""
        lines = (f"GET {path} HTTP/1.1", f"Host: {self._host}", *fields, "Connection: close", "", "")
        began = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_connection(*self._address)
                try:
                    writer.write("\r\n".join(lines).encode())
                    came = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            came = b""
        head, _, body = came.partition(b"\r\n\r\n")
        answer = Answer(head, body, time.monotonic() - began)
        self.failed += not answer.is_good
        return answer


class Crowd:
    """So many people a second, at random moments, each of whom does the same once; from now until `end`."""

    def __init__(self, per_second: float, do: Callable[[], Awaitable[None]]) -> None:
        self._per_second = per_second
        self._do = do
        self._busy: set[asyncio.Task[None]] = set()
        self._coming = asyncio.create_task(self._come())

    async def _come(self) -> None:
        while True:
            person = asyncio.create_task(self._one())
            self._busy.add(person)
            person.add_done_callback(self._busy.discard)
            await asyncio.sleep(random.expovariate(self._per_second))

    async def _one(self) -> None:
        await self._do()

    async def settle(self) -> None:
        """Until all who are there now have an answer."""
        if self._busy:
            await asyncio.wait(self._busy, timeout=TIMEOUT_SECONDS)

    async def end(self) -> None:
        """Nobody comes any more, and who is there gets an answer."""
        self._coming.cancel()
        await self.settle()
