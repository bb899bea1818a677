"""Requests of people who do not exist: strangers, a few a second, and visitors who keep their cookies.

Owns what they ask for and what they saw. Each request has a connection of its own.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from urllib.parse import urlsplit

STRANGERS_PER_SECOND = 20.0
VISIT_SECONDS = 0.5
TIMEOUT_SECONDS = 5.0

_SERVER = re.compile(rb"\r\n\r\nHello from (\w+):").search
_COOKIE = re.compile(rb"\r\nset-cookie: *([^;\r]+)", re.IGNORECASE).findall


class Visitor:
    """Somebody with a name and a browser: cookies are kept and sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = ""
        """The origin of the last answer."""
        self.cookies = {b"visitor": name.encode()}

    def cookie(self) -> bytes:
        """The field to send."""
        pairs = b"; ".join(b"%b=%b" % pair for pair in self.cookies.items())
        return b"Cookie: %b\r\n" % pairs

    def remember(self, answer: bytes) -> None:
        """Take up cookies that were set."""
        head = answer.partition(b"\r\n\r\n")[0]
        for pair in _COOKIE(head):
            name, _, value = pair.partition(b"=")
            self.cookies[name] = value


class Traffic:
    """All of them, from now until `end`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._host = parts.netloc.encode()
        self.strangers: Counter[str] = Counter()
        """Answers to strangers, by origin."""
        self.visitors: list[Visitor] = []
        self.asked = 0
        self.failed = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._coming = [asyncio.create_task(self._strangers())]

    def invite(self, *names: str) -> None:
        """Have visitors come, and come again."""
        for name in names:
            self.visitors.append(visitor := Visitor(name))
            self._coming.append(asyncio.create_task(self._visits(visitor)))

    async def _strangers(self) -> None:
        while True:
            asking = asyncio.create_task(self._ask_as_stranger())
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            await asyncio.sleep(random.expovariate(STRANGERS_PER_SECOND))

    async def _ask_as_stranger(self) -> None:
        answer = await self._ask(b"")
        if found := _SERVER(answer):
            self.strangers[found[1].decode()] += 1

    async def _visits(self, visitor: Visitor) -> None:
        while True:
            answer = await self._ask(visitor.cookie())
            visitor.remember(answer)
            if found := _SERVER(answer):
                visitor.at = found[1].decode()
            await asyncio.sleep(VISIT_SECONDS * random.uniform(0.8, 1.2))

    async def _ask(self, cookie: bytes) -> bytes:
        """The whole answer, empty if there was none."""
        request = b"GET / HTTP/1.1\r\nHost: %b\r\n%bConnection: close\r\n\r\n" % (self._host, cookie)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_connection(*self._address)
                try:
                    writer.write(request)
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            answer = b""
        self.asked += 1
        self.failed += not answer.startswith(b"HTTP/1.1 200 ")
        return answer

    async def end(self) -> None:
        """Ask no more, and let what is under way come home."""
        for task in self._coming:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking, timeout=TIMEOUT_SECONDS)
