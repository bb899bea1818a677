"""Keep a gateway busy from a thread of its own, and give an account of every request that was lost.

Owns one event loop, the connections it opens and the counts. Measures nothing: that is `perf/`.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from itertools import count
from types import TracebackType
from typing import cast

import uvloop

from gateway.testing.waiting import wait_until

GET = b"GET / HTTP/1.1\r\nHost: load.example\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Lost(Exception):
    """A request that got no whole answer.

    `is_repeatable` by RFC 9112 9.3.1: it was sent over a kept connection and not a byte came back.
    """

    def __init__(self, why: str, is_repeatable: bool = False) -> None:
        super().__init__(why)
        self.is_repeatable = is_repeatable


class Load:
    """GET requests from entering to leaving the `with` block.

    Without a rate: one after the other, `pause` seconds apart, over each of `connections` kept
    connections. A request whose kept connection closes before a byte of the answer came is repeated,
    as clients do, and counted in `repeated`. With a rate: each over a fresh connection, at most `rate`
    a second and `connections` at once, from the local addresses `sources` in turn (each has some
    28,000 ports for a minute).
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        connections: int = 16,
        rate: int = 0,
        pause: float = 0.0,
        request: bytes = GET,
        sources: tuple[str, ...] = ("127.0.0.1",),
        timeout: float = 10.0,
    ) -> None:
        self.completed = 0
        self.repeated = 0
        self.lost: Counter[str] = Counter()
        """What happened to the requests that were lost, and how often. Empty is what one wants."""
        self._address = address
        self._connections = connections
        self._rate = rate
        self._pause = pause
        self._request = request
        self._sources = sources
        self._timeout = timeout
        self._numbers = count()
        self._open: set[Exchanges] = set()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def wait_for(self, more: int, within: float = 10.0) -> None:
        """Wait until so many further requests were completed."""
        goal = self.completed + more
        wait_until(lambda: self.completed >= goal, within=within, message=f"load stands still: {self!r}")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._thread.join(2 * self._timeout)

    def __repr__(self) -> str:
        return f"<Load: {self.completed} completed, {self.repeated} repeated, {self.lost.total()} lost>"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        try:
            await (self._keep_rate() if self._rate else self._keep_connections())
        finally:
            for exchanges in tuple(self._open):
                exchanges.close()
            await asyncio.gather(*(exchanges.closing for exchanges in tuple(self._open)))

    async def _keep_rate(self) -> None:
        running: set[asyncio.Task[None]] = set()
        started = time.monotonic()
        opened = 0
        while not self._is_over:
            due = int((time.monotonic() - started) * self._rate) - opened
            room = max(0, min(due, self._connections - len(running)))
            for _ in range(room):
                task = asyncio.create_task(self._once())
                running.add(task)
                task.add_done_callback(running.discard)
            opened += max(due, 0)  # what found no room is not made up for
            await asyncio.sleep(0.002)
        if running:
            await asyncio.wait(running)

    async def _once(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                exchanges = await self._connect()
                await exchanges.ask(self._request)
                exchanges.close()
            self.completed += 1
        except (Lost, OSError, TimeoutError) as error:
            self.lost[f"{type(error).__name__}: {error}"] += 1

    async def _keep_connections(self) -> None:
        await asyncio.gather(*(self._keep_one() for _ in range(self._connections)))

    async def _keep_one(self) -> None:
        exchanges: Exchanges | None = None
        while not self._is_over:
            try:
                async with asyncio.timeout(self._timeout):
                    if exchanges is None or exchanges.is_closed:
                        exchanges = await self._connect()
                    await exchanges.ask(self._request)
                self.completed += 1
                if self._pause:
                    await asyncio.sleep(self._pause)
            except (Lost, OSError, TimeoutError) as error:
                if isinstance(error, Lost) and error.is_repeatable:
                    self.repeated += 1
                else:
                    self.lost[f"{type(error).__name__}: {error}"] += 1
                    await asyncio.sleep(0.01)
                exchanges = None

    async def _connect(self) -> Exchanges:
        source = self._sources[next(self._numbers) % len(self._sources)]
        loop = asyncio.get_running_loop()
        _, exchanges = await loop.create_connection(
            lambda: Exchanges(self._open), *self._address, local_addr=(source, 0)
        )
        return exchanges


class Exchanges(asyncio.Protocol):
    """Request and response in turn over one connection, which is in `among` while it is open."""

    def __init__(self, among: set[Exchanges]) -> None:
        self._among = among
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_closed = False
        self._answered = 0
        self._received = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> None:
        """Send the request and wait for a whole 200; Lost if it is anything else."""
        self._received.clear()
        self._waiter = asyncio.get_running_loop().create_future()
        if self._transport is not None and not self.is_closed:
            self._transport.write(request)
        else:
            self._give_up()
        await self._waiter
        self._answered += 1

    def close(self) -> None:
        """Leave."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._waiter is None or self._waiter.done():
            return
        head = bytes(self._received[: end + 2])
        length = LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            self._waiter.set_exception(Lost(head.split(b"\r\n", 1)[0].decode("latin-1")))
        elif len(self._received) >= end + 4 + int(length[1]):
            if b"\r\nconnection: close" in head.lower():
                self.close()
            self._waiter.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._among.discard(self)
        self.closing.set_result(None)
        self._give_up()

    def _give_up(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            came = len(self._received)
            why = f"closed after {came} bytes of a response, {min(self._answered, 1)} before on this connection"
            self._waiter.set_exception(Lost(why, is_repeatable=not came and self._answered > 0))
