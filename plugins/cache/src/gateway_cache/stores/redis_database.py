"""What the cache keeps in Redis (6.2 or later) or Valkey, and each question to it as one round trip.

Owns keys, values and connections. When it is asked, and what becomes of a failure, is decided by `redis`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

import orjson
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway_cache.entry import Entry
from gateway_cache.keys import DIGEST_BYTES, digest
from gateway_cache.purging import Message, Purge
from gateway_cache.stores.records import STAMP, key_of, read_meta, read_record
from gateway_cache.stores.redis_scripts import PURGE, PUT, SWEEP

MAX_CONNECTIONS = 16
"""For questions that a client waits for, from one worker; more of them wait for one to be free."""
MAX_BYTES_OF_URL = 8 * 1024 * 1024
"""Of all responses to one URL, which are read together; the newest is there in any case."""
MAX_LOGGED = 10_000
"""Purges that stand in Redis for those who have not heard of them yet."""
MAX_VARIANTS = 32
"""Responses to one URL; the oldest goes when there are more."""
PATIENT_SECONDS = 5.0
"""The longest that anything takes that nobody waits for."""
FOLLOW_SECONDS = 2.0
"""So long Redis lets us wait for a purge before it says that there was none."""
DONE_SECONDS = 3600
"""So long Redis knows that a purge is done already, if another worker comes with it."""
SWEPT_AT_ONCE = 200
"""URLs that are looked at in one step of a sweep."""

_SPECIAL = re.compile(r"([][*?^\\])")


class Found:
    """One of the responses to a URL, as Redis holds it; its body is read when it is wanted, once for all."""

    __slots__ = ("_url", "_value", "_whole", "entry", "seen")

    def __init__(self, url: bytes, entry: Entry, value: bytes) -> None:
        self._url = url
        self._value = value
        self._whole: Entry | None = None
        self.entry = entry
        """Without its body."""
        (self.seen,) = STAMP.unpack_from(value)
        """The last purge before it was stored."""

    def whole(self) -> Entry | None:
        """With its body; None if it is damaged."""
        if self._whole is None:
            self._whole = read_record(memoryview(self._value)[STAMP.size :], self._url)
        return self._whole


class Logged(NamedTuple):
    """A purge as it stands in Redis."""

    number: int
    former: int
    """The one before; 0 for none."""
    message: Message


class Database:
    """Any method may raise anything."""

    def __init__(self, url: str, prefix: str, timeout: float) -> None:
        """Nothing is connected yet. Raises ValueError for a URL that the client does not take."""
        # Any: the client's types leave open whether answers are bytes.
        self._quick: Any = _client(url, timeout, MAX_CONNECTIONS)
        self._patient: Any = _client(url, PATIENT_SECONDS, 3)  # for who writes, who sweeps and who follows
        self._log = f"{prefix}purges"
        self._done = f"{prefix}purge:"
        self._hashes = f"{prefix}url:".encode()
        self._all_hashes = _SPECIAL.sub(r"\\\1", prefix) + "url:*"
        self._put = self._patient.register_script(PUT)
        self._purge = self._patient.register_script(PURGE)
        self._sweep = self._patient.register_script(SWEEP)

    def _key(self, url: bytes) -> bytes:
        return self._hashes + digest(url).hex().encode()

    async def get(self, url: bytes) -> list[Found]:
        """All responses to a URL that are not damaged as far as one sees."""
        held: dict[bytes, bytes] = await self._quick.hgetall(self._key(url))
        values = [value for name, value in held.items() if len(name) == DIGEST_BYTES and len(value) > STAMP.size]
        read = [(value, read_meta(memoryview(value)[STAMP.size :])) for value in values]
        return [Found(url, meta[1], value) for value, meta in read if meta is not None and meta[0] == url]

    async def put(self, url: bytes, entry: Entry, record: bytes, seen: int, seconds: float) -> int:
        """Store a response, unless a purge later than `seen` was made: then the number of the last one, else 0."""
        variant = key_of(url, entry)[DIGEST_BYTES:]
        value = STAMP.pack(seen) + record
        about = (seen, int(seconds * 1000), MAX_VARIANTS, MAX_BYTES_OF_URL)
        return int(await self._put([self._key(url), self._log], [variant, value, url, *about, *entry.tags]))

    async def delete(self, urls: Iterable[bytes]) -> None:
        """Forget all responses to these URLs, and tell nobody."""
        await self._patient.unlink(*map(self._key, urls))

    async def purge(self, purge: Purge) -> tuple[bool, int]:
        """Delete what it names by URL, and tell all who share this; whether it was new here, and its number."""
        keys: list[str | bytes] = [self._log, self._done + purge.id, *map(self._key, purge.urls)]
        is_new, number = await self._purge(keys, [orjson.dumps(purge.message), MAX_LOGGED, DONE_SECONDS])
        return bool(is_new), int(number)

    async def sweep(self, purges: Sequence[tuple[int, Purge]]) -> AsyncIterator[int]:
        """Delete what these take of what came before them, step by step; how many each step has deleted."""
        arguments: list[bytes | int] = []
        for number, purge in purges:
            prefixes, tags = purge.prefixes, purge.tags
            arguments += [number, int(purge.is_all), len(prefixes), *prefixes, len(tags), *tags]
        cursor = 0
        while True:
            cursor, keys = await self._patient.scan(cursor, self._all_hashes, SWEPT_AT_ONCE)
            yield int(await self._sweep(keys, arguments)) if keys else 0
            if not cursor:
                return

    async def latest(self, count: int) -> list[Logged]:
        """The last purges, in their order."""
        return [_logged(entry) for entry in reversed(await self._quick.xrevrange(self._log, count=count))]

    async def later(self, number: int, count: int) -> list[Logged]:
        """The next purges after this one."""
        return [_logged(entry) for entry in await self._quick.xrange(self._log, min=f"({number}-0", count=count)]

    async def wait(self, number: int) -> list[Logged]:
        """The next purges after this one; if there is none for a while, none."""
        block = int(FOLLOW_SECONDS * 1000)
        answer = await self._patient.xread({self._log: f"{number}-0"}, count=100, block=block)
        return [_logged(entry) for _, entries in answer or () for entry in entries]

    async def forsake(self) -> None:
        """Leave the connections for questions: what a failure has left them in is not worth finding out."""
        await self._quick.connection_pool.disconnect()

    async def close(self) -> None:
        """Give up the connections."""
        await self._quick.aclose()
        await self._patient.aclose()


def _client(url: str, seconds: float, connections: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return Redis.from_pool(pool)


def _logged(entry: tuple[bytes, dict[bytes, Any]]) -> Logged:
    name, fields = entry
    try:
        message = orjson.loads(fields[b"message"])
        former = int(fields[b"former"])
    except (KeyError, ValueError):
        message, former = {}, 0
    return Logged(int(name.partition(b"-")[0]), former, message if isinstance(message, dict) else {})


__all__ = ["Database", "Found", "Logged"]
