"""The store that gateways on several machines share: Redis or Valkey.

Owns when it is asked, what waits to be written, and that purges are told and heard of. While it is away everything
is a miss, and nobody waits: `watch` says so, and tries to reach it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from redis.exceptions import ResponseError

from gateway_cache.config import Config
from gateway_cache.entry import Entry
from gateway_cache.purging import Message, Purge
from gateway_cache.stores.purged import Purged
from gateway_cache.stores.records import record_of
from gateway_cache.stores.redis_database import PATIENT_SECONDS, Database, Found, Logged
from gateway_cache.stores.watch import PAUSE_SECONDS, Watch

log = logging.getLogger("gateway.cache")

CLOSE_SECONDS = 2.0
"""How long the end waits for what is to be written."""
COMPLAINT_SECONDS = 60.0
"""From one word in the log that Redis refuses something to the next."""
LARGE_BYTES = 64 * 1024
"""From here on the checksum is made in a thread."""
LATEST = 1000
"""Purges that a worker reads when it starts: of their prefixes and tags something may still be there."""
MAX_TRIES = 3
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for a slow network; more is not stored there."""
VALIDATED_SECONDS = 24 * 3600.0
"""So long a response with a validator is held beyond its freshness: a 304 may be all that it needs."""


class Question:
    """What Redis holds of one URL, for everybody in this worker who wants to know that at the moment."""

    __slots__ = ("asked", "found", "task")

    def __init__(self, asked: int) -> None:
        self.asked = asked
        """How often something had been purged."""
        self.found: list[Found] = []
        self.task: asyncio.Task[None]


class Put:
    """A response that waits to be written."""

    __slots__ = ("entry", "is_void", "record", "tries", "url")

    def __init__(self, url: bytes, entry: Entry) -> None:
        self.url = url
        self.entry = entry
        self.record: bytes | None = None
        self.is_void = False
        """Whether it was purged meanwhile."""
        self.tries = 0


class RedisStore:
    """The shared store as one App sees it."""

    name = "redis"

    def __init__(self, config: Config, on_purge: Callable[[Message], None]) -> None:
        """`on_purge` is called for every purge of another gateway. Raises ValueError for a URL that is none."""
        assert config.redis is not None
        url = config.redis.get_secret_value()
        self._database = Database(url, config.redis_prefix, config.redis_timeout)
        self._place = f"redis at {_shown(url)}"
        self._timeout = config.redis_timeout
        self._on_purge = on_purge
        self._watch = Watch(self._place, self._reach)
        self._purged = Purged()
        self._seen = 0
        """The last purge that was heard of."""
        self._questions: dict[bytes, Question] = {}
        self._puts: deque[Put] = deque()
        self._waiting_bytes = 0
        self._sweeps: deque[tuple[int, Purge]] = deque()
        self._news, self._heard = asyncio.Event(), asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_closing = False
        self._complained = -COMPLAINT_SECONDS
        self._refusals = 0
        self.left_out = 0

    @property
    def is_away(self) -> bool:
        """See `SharedStore.is_away`."""
        return self._watch.is_away

    @property
    def failures(self) -> int:
        """See `SharedStore.failures`."""
        return self._watch.failures + self._refusals

    def open(self) -> None:
        """See `SharedStore.open`. It may be away: then it is used as soon as it is there."""
        self._watch.begin()
        loop = asyncio.get_running_loop()
        self._tasks["write"] = loop.create_task(self._write())

    async def close(self) -> None:
        """See `SharedStore.close`. What cannot be written within a bound is lost."""
        self._is_closing = True
        self._news.set()
        if self._tasks and not self._watch.is_away:
            await asyncio.wait([self._tasks["write"]], timeout=CLOSE_SECONDS)
        if self._purged.waiting:
            count = len(self._purged.waiting)
            log.error("cache: %d purges have not reached %s: what they are about may come back", count, self._place)
        await asyncio.gather(*(question.task for question in self._questions.values()))
        await self._watch.end()
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
        await self._database.close()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    # -- reading -----------------------------------------------------------------------------------------------

    def find(self, url: bytes, is_wanted: Callable[[Entry], bool]) -> Awaitable[Entry | None] | None:
        """See `SharedStore.find`."""
        if self._watch.is_away or self._is_closing:
            return None
        question = self._questions.get(url)
        if question is None:
            question = self._questions[url] = Question(self._purged.count)
            question.task = asyncio.get_running_loop().create_task(self._ask(url, question))
        return self._answer(url, question, is_wanted)

    async def _ask(self, url: bytes, question: Question) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._watch.at_hand()
                question.found = await self._database.get(url)
        except ResponseError as error:
            self._complain(error)
        except Exception as error:  # whatever it is, it must not reach an exchange
            self._fail(error)
        finally:
            del self._questions[url]

    async def _answer(self, url: bytes, question: Question, is_wanted: Callable[[Entry], bool]) -> Entry | None:
        await asyncio.shield(question.task)
        newest: Found | None = None
        for found in question.found:
            entry = found.entry
            if not is_wanted(entry) or self._purged.takes(url, entry, found.seen, question.asked):
                continue
            if newest is None or entry.born > newest.entry.born:
                newest = found
        return None if newest is None else newest.whole()

    # -- writing -----------------------------------------------------------------------------------------------

    def put(self, url: bytes, entry: Entry) -> None:
        """See `SharedStore.put`."""
        if self._watch.is_away or self._is_closing or self._waiting_bytes + entry.size > MAX_WAITING_BYTES:
            self.left_out += 1
            return
        self._waiting_bytes += entry.size
        self._puts.append(Put(url, entry))
        self._news.set()

    def drop(self, purge: Purge) -> None:
        """See `SharedStore.drop`. If it has an id, other gateways hear of it, too."""
        self._purged.drop(purge)
        self._void(purge)
        self._news.set()

    def _void(self, purge: Purge) -> None:
        for put in self._puts:
            put.is_void = put.is_void or purge.takes(put.url, put.entry)

    async def _write(self) -> None:
        """One thing after the other, purges first, for as long as the App lives."""
        while True:
            if not (self._purged.waiting or self._puts):
                if self._is_closing:
                    return
                self._news.clear()
                await self._news.wait()
                continue
            await self._watch.at_hand()
            try:
                async with asyncio.timeout(PATIENT_SECONDS):
                    await (self._tell() if self._purged.waiting else self._put_next())
            except ResponseError as error:
                self._complain(error)
                if self._purged.waiting:
                    await asyncio.sleep(PAUSE_SECONDS)  # it has to get there, however long that takes
                else:
                    self._leave_out(self._puts[0])
            except Exception as error:
                self._fail(error)
                while self._puts:
                    self._leave_out(self._puts[0])

    async def _tell(self) -> None:
        purge = self._purged.waiting[0]
        if not purge.id:
            await self._database.delete(purge.urls)
        else:
            is_new, number = await self._database.purge(purge)
            self._purged.remember(number, purge)
            if is_new and not purge.is_exact:
                self._sweep(number, purge)
        self._purged.arrive(purge)

    async def _put_next(self) -> None:
        """Write a response. If Redis knows of a purge that this worker does not, it has to hear of that first."""
        put = self._puts[0]
        left = useful_until(put.entry) - time.time()
        if put.record is None:
            of_record = put.url, put.entry, time.time_ns()
            is_large = put.entry.length > LARGE_BYTES
            put.record = await asyncio.to_thread(record_of, *of_record) if is_large else record_of(*of_record)
        if left <= 0 or put.is_void or put.tries == MAX_TRIES:
            self._leave_out(put)
            return
        put.tries += 1
        last = await self._database.put(put.url, put.entry, put.record, self._seen, left)
        if not last:
            self._take(put)
        while self._seen < last:
            self._heard.clear()
            await self._heard.wait()

    def _take(self, put: Put) -> None:
        self._puts.remove(put)
        self._waiting_bytes -= put.entry.size

    def _leave_out(self, put: Put) -> None:
        self._take(put)
        self.left_out += 1

    def _sweep(self, number: int, purge: Purge) -> None:
        self._sweeps.append((number, purge))
        if "sweep" not in self._tasks:
            self._tasks["sweep"] = asyncio.get_running_loop().create_task(self._sweep_all())

    async def _sweep_all(self) -> None:
        """Free what was purged by prefix or tag. Nobody waits for that: it is not served any more."""
        while self._sweeps:
            purges = list(self._sweeps)
            try:
                await self._watch.at_hand()
                async for _ in self._database.sweep(purges):
                    pass
            except ResponseError as error:
                self._complain(error)
            except Exception as error:
                self._fail(error)
                continue
            for _ in purges:
                self._sweeps.popleft()
        self._tasks.pop("sweep", None)

    # -- hearing -----------------------------------------------------------------------------------------------

    async def _reach(self) -> None:
        """Connect, and hear of all that was purged meanwhile: before that nothing may be served from there."""
        follow = self._tasks.pop("follow", None)
        if follow is not None:
            follow.cancel()  # it may hang in a connection that is dead
        async with asyncio.timeout(self._timeout):
            await self._database.forsake()
            is_first = not self._seen
            logged = await (self._database.latest(LATEST) if is_first else self._database.later(self._seen, LATEST))
            while logged:
                for each in logged:
                    self._hear(each)
                logged = await self._database.later(self._seen, LATEST)
        self._tasks["follow"] = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        try:
            # The client swallows a cancellation that comes while it connects.
            while self._tasks.get("follow") is asyncio.current_task():
                for each in await self._database.wait(self._seen):
                    self._hear(each)
        except Exception as error:
            self._fail(error)

    def _hear(self, logged: Logged) -> None:
        if logged.number <= self._seen:
            return
        has_missed = 0 < self._seen < logged.former  # they are no longer in the log
        self._seen = logged.number
        purge = Purge({"all": True} if has_missed else logged.message)
        self._purged.remember(logged.number, purge)
        if has_missed or not self._purged.is_ours(purge):
            self._purged.note(purge)
            self._void(purge)
            try:
                self._on_purge(purge.message)
            except Exception:
                log.exception("cache: a purge that was heard of failed")
        self._heard.set()

    def _fail(self, error: Exception) -> None:
        if not self._is_closing:
            self._watch.fail(error)

    def _complain(self, error: Exception) -> None:
        """Redis is there, but refuses: it is full, or allows us too little."""
        self._refusals += 1
        if time.monotonic() - self._complained >= COMPLAINT_SECONDS:
            self._complained = time.monotonic()
            log.error("cache: %s refuses: %s; the cache goes on with what is in memory", self._place, error)

    def __repr__(self) -> str:
        return f"<RedisStore: {self._watch}, {len(self._puts)} responses waiting>"


def useful_until(entry: Entry) -> float:
    """Until when a response may be of use, in seconds since the epoch."""
    terms = entry.terms
    staleness = max(terms.while_revalidating, terms.if_error)
    if entry.etag is not None or entry.last_modified is not None:
        staleness = max(staleness, VALIDATED_SECONDS)
    return entry.lifetime_ends + staleness


def _shown(url: str) -> str:
    """Where it is, without the password that stands beside it."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


__all__ = ["RedisStore", "useful_until"]
