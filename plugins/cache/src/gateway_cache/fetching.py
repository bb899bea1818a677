"""One fetch for many: a response is read once, and everybody who waits for it reads along while it arrives.

Owns the waiting for a response's head (`Flight`) and the sharing of its body (`Fetch`). Does not decide what is
stored and does not know where.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable

from gateway import OpenBody, ResponseCut
from gateway_cache.entry import Entry
from gateway_cache.files import Spill
from gateway_cache.window import Window

log = logging.getLogger("gateway.cache")

AHEAD_BYTES = 1024 * 1024
"""How far an endpoint is read ahead of the slowest reader of a body that turned out too long to be stored."""


STALL_SECONDS = 10.0
"""So long one reader may hold up others of such a body."""
WRITE_BYTES = 1024 * 1024
"""A file is written in steps of this size, for each takes a thread."""


class Flight:
    """A request that is on its way to the origin, and those who wait to see whether its response is theirs, too."""

    __slots__ = ("_landing", "is_void")

    def __init__(self) -> None:
        self._landing: asyncio.Future[Fetch | Entry | None] | None = None
        self.is_void = False
        """Whether what it brings is outdated already: it was purged meanwhile."""

    async def landing(self) -> Fetch | Entry | None:
        """What it brought: a stored response, one that is arriving, or nothing for others."""
        if self._landing is None:
            self._landing = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._landing)

    def land(self, brought: Fetch | Entry | None) -> None:
        """Tell everybody. A second call does nothing."""
        if self._landing is None:
            self._landing = asyncio.get_running_loop().create_future()
        if not self._landing.done():
            self._landing.set_result(brought)


class Fetch:
    """A body that is being read in a task of its own, at the pace of the endpoint.

    Readers get all of it, whenever they begin. One that is longer than `most` bytes goes into a file; where there
    is none, or the file cannot take it, it is not stored, nobody else may join, and it is read at the pace of its
    slowest reader.
    """

    def __init__(
        self,
        entry: Entry,
        body: AsyncIterable[bytes],
        held: OpenBody | None,
        most: int,
        ended: Callable[[Fetch], None],
        spill: Callable[[], Spill | None] | None = None,
    ) -> None:
        """`held` is what is to be given back at the end; `ended` is called then, however it ends."""
        self.entry = entry
        """The response, without its body until that is complete."""
        self.is_complete = False
        """Whether the entry has its whole body."""
        self.is_wanted = True
        """Whether it is still to be stored: it may have been purged meanwhile."""
        self.is_open = True
        """Whether further readers may join."""
        self.window = Window()
        """What is in memory of it."""
        self._body: AsyncIterable[bytes] | None = body
        self._held = held
        self._most = most
        self._ended = ended
        self._make_spill = spill
        self.on_left_out: Callable[[], None] = lambda: None
        """Called once as soon as it is clear that it is not stored."""
        self._spill: Spill | None = None
        self._is_kept = True
        self._is_ended = False
        self._error: Exception | None = None
        self._readers: set[Reader] = set()
        self._news = asyncio.Event()
        self._moved = asyncio.Event()
        self._has_begun = False
        self._task = asyncio.get_running_loop().create_task(self._read())

    def reader(self) -> Reader:
        """Somebody who reads along from the beginning."""
        reader = Reader(self, self._body)
        self._readers.add(reader)
        return reader

    async def _read(self) -> None:
        self._has_begun = True
        try:
            assert self._body is not None
            async for piece in self._body:
                if not piece:
                    continue
                if not self.is_wanted and not self._readers:
                    return
                self.window.add(piece)
                self._tell()
                if self._is_kept and self.window.end > self._most:
                    await self._write(at_least=WRITE_BYTES)
                if not self._is_kept and not await self._wait_for_readers():
                    return
            if self._is_kept:
                await self._complete()
            self._is_ended = True
        except Exception as error:
            self._error = error.with_traceback(None)
        finally:
            self._end()

    def _end(self) -> None:
        self.is_open = False
        if not self._is_ended and self._error is None:
            self._error = ResponseCut("nobody reads on")
        if self._held is not None:
            self._held.close(None if self._is_ended else ResponseCut("nobody reads on"))
        if self._spill is not None and not (self.is_complete and self.is_wanted):
            self._spill.discard()
        self._ended(self)
        self._tell()
        # Both lead to the exchange, and that to us: nothing is to be left for the collector.
        self._held = self._body = None

    async def _complete(self) -> None:
        """Let the entry have its body."""
        if self._spill is None:
            self.entry.with_body(self.window.join())
            self.is_complete = True
        elif await self._write(at_least=1):
            try:
                self.entry.with_file(await self._spill.finish())
                self.is_complete = True
            except OSError as error:
                self._give_up(error)

    async def _write(self, at_least: int) -> bool:
        """Bring to the file what it has not yet, if that is worth a write; whether it has taken all so far."""
        try:
            spill = self._spill = self._spill or (self._make_spill() if self._make_spill is not None else None)
            if spill is None:
                self._leave_out()
                return False
            if self.window.end - spill.written >= at_least:
                await spill.write(self.window.since(spill.written))
                self.window.drop(spill.written - AHEAD_BYTES)
        except OSError as error:
            self._give_up(error)
        return self._is_kept

    def _give_up(self, error: OSError) -> None:
        log.warning("cache: a body of %d bytes or more is not stored: %s", self.window.end, error)
        self._leave_out()

    def _leave_out(self) -> None:
        self._is_kept = self.is_open = False
        self.on_left_out()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _wait_for_readers(self) -> bool:
        """Until the slowest has come near enough; False if there is none left."""
        while self._readers:
            slowest = min(self._readers, key=lambda reader: reader.place)
            self.window.drop(slowest.place)
            if self.window.end - self.window.start <= AHEAD_BYTES:
                return True
            self._moved.clear()
            try:
                async with asyncio.timeout(STALL_SECONDS if len(self._readers) > 1 else None):
                    await self._moved.wait()
            except TimeoutError:
                slowest.fail(ResponseCut("its client held up others who get the same body"))
        return False

    async def piece(self, reader: Reader) -> bytes | None:
        """A reader's next piece; None behind the last one. Raises what ended the body, or the reading."""
        while reader.error is None and reader.place >= self.window.end:
            if self._is_ended:
                return None
            if self._error is not None:
                raise ResponseCut(str(self._error))  # one of its own: each leads to its reader's frames
            await self._news.wait()
        if reader.error is not None:
            raise reader.error
        if reader.place >= self.window.start:
            return self.window.at(reader.place)
        assert self._spill is not None
        try:
            return await self._spill.read(reader.place, self.window.start - reader.place)
        except OSError as error:
            raise ResponseCut(f"what was written of it cannot be read: {error}") from error

    def moved(self) -> None:
        """A reader has gone on."""
        self._moved.set()

    def leave(self, reader: Reader) -> None:
        """A reader needs no more."""
        self._readers.discard(reader)
        reader.passes_on = None
        self._moved.set()
        self._tell()

    def cancel(self) -> None:
        """Give it up: the gateway ends."""
        self._task.cancel()
        if not self._has_begun:
            self._end()  # it never will


class Reader:
    """One who reads a body that is being fetched. It is also what a client's exchange closes when it ends."""

    __slots__ = ("_fetch", "error", "passes_on", "place")

    def __init__(self, fetch: Fetch, body: AsyncIterable[bytes] | None) -> None:
        self._fetch = fetch
        self.passes_on = body
        """Whose bytes it gives, as they are."""
        self.place = 0
        """How many bytes it has had."""
        self.error: Exception | None = None
        """Why it reads no more."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._fetch.piece(self)
        except BaseException:
            self._fetch.leave(self)
            raise
        if piece is None:
            self._fetch.leave(self)
            raise StopAsyncIteration
        self.place += len(piece)
        self._fetch.moved()
        return piece

    def close(self, error: Exception | None = None) -> None:
        """Leave."""
        self._fetch.leave(self)

    def fail(self, error: Exception) -> None:
        """Leave: the client has left. What is fetched is fetched for others, too."""
        self.error = error
        self._fetch.leave(self)

    def has_data(self) -> bool:
        """Whether a piece is there."""
        return self.place < self._fetch.window.end


__all__ = ["Fetch", "Flight", "Reader"]
