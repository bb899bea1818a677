"""Requests of people who do not exist: strangers, a few a second, and visitors who keep their cookies.

Owns what they ask for and what they saw.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter

from gateway.cli.demo.people import Answer, Client, Crowd

STRANGERS_PER_SECOND = 20.0
VISIT_SECONDS = 0.5

_SERVER = re.compile(rb"Hello from (\w+):").match
_COOKIE = re.compile(rb"\r\nset-cookie: *([^;\r]+)", re.IGNORECASE).findall


class Visitor:
    """Somebody with a name and a browser: cookies are kept and sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = ""
        """The origin of the last answer."""
        self.cookies = {"visitor": name}

    def cookie(self) -> str:
        """The field to send."""
        return f"Cookie: {'; '.join('='.join(pair) for pair in self.cookies.items())}"

    def remember(self, answer: Answer) -> None:
        """Take up cookies that were set."""
        for pair in _COOKIE(answer.head):
            name, _, value = pair.decode("latin-1").partition("=")
            self.cookies[name] = value


class Traffic:
    """All of them, from now until `end`."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)
        self.strangers: Counter[str] = Counter()
        """Answers to strangers, by origin."""
        self.visitors: list[Visitor] = []
        self._crowd = Crowd(STRANGERS_PER_SECOND, self._ask_as_stranger)
        self._coming: list[asyncio.Task[None]] = []

    @property
    def failed(self) -> int:
        """Requests that nobody answered as they should."""
        return self._client.failed

    def invite(self, *names: str) -> None:
        """Have visitors come, and come again."""
        for name in names:
            self.visitors.append(visitor := Visitor(name))
            self._coming.append(asyncio.create_task(self._visits(visitor)))

    async def _ask_as_stranger(self) -> None:
        if found := _SERVER((await self._client.get("/")).body):
            self.strangers[found[1].decode()] += 1

    async def _visits(self, visitor: Visitor) -> None:
        while True:
            answer = await self._client.get("/", visitor.cookie())
            visitor.remember(answer)
            if found := _SERVER(answer.body):
                visitor.at = found[1].decode()
            await asyncio.sleep(VISIT_SECONDS * random.uniform(0.8, 1.2))

    async def end(self) -> None:
        """Ask no more, and let what is under way come home."""
        for task in self._coming:
            task.cancel()
        await self._crowd.end()
