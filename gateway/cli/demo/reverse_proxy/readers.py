"""Readers: many, who ask for the same few pages, and what the gateway did for each.

Owns what they ask for, and how answers are told apart by Cache-Status (RFC 9211).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from gateway.cli.demo.people import Client, Crowd
from gateway.cli.demo.reverse_proxy.pages import STORIES

READERS_PER_SECOND = 20.0
PAGES = ("/", *STORIES, "/picture.svg")
WEIGHTS = (4, *(1 for _ in STORIES), 2)
BROWSER = "Accept-Encoding: gzip, deflate, br, zstd"
SORTS = ((BROWSER,), ("Accept-Encoding: gzip, deflate",), ())
"""What browsers, browsers without TLS, and curl send."""
FRESH, STALE, CONFIRMED, FETCHED = KINDS = ("fresh", "stale", "confirmed", "fetched")
COLOURS = {FRESH: "green", STALE: "yellow", CONFIRMED: "cyan", FETCHED: "magenta"}


def kind_of(status: str) -> str:
    """What the gateway did, one of KINDS, by the Cache-Status of its answer."""
    if "; fwd-status=304" in status:
        return CONFIRMED
    if "; hit" not in status:
        return FETCHED
    return STALE if "; ttl=-" in status or "; detail=origin-failed" in status else FRESH


class Readers:
    """All of them, from now until `end`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.kinds: Counter[str] = Counter()
        """Answers to readers."""
        self._crowd = Crowd(READERS_PER_SECOND, self._read_one)

    async def read_everything(self) -> None:
        """Once by each sort of reader: afterwards all is stored, and nobody waits for what was not."""
        await asyncio.gather(*(self._read(path, fields) for path in PAGES for fields in SORTS))
        await self._crowd.settle()

    async def _read_one(self) -> None:
        await self._read(random.choices(PAGES, WEIGHTS)[0], random.choice(SORTS))

    async def _read(self, path: str, fields: tuple[str, ...]) -> None:
        answer = await self._client.get(path, *fields)
        if answer.is_good:
            self.kinds[kind_of(answer.field("cache-status"))] += 1

    async def end(self) -> None:
        """Nobody comes any more."""
        await self._crowd.end()
