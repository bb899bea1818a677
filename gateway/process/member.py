"""One worker as its supervisor sees it: the process, its end of the bus, and what it is waiting for.

Owns the conversation with one worker. Does not decide which workers there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from gateway.errors import ConfigurationError
from gateway.process.bus import Link
from gateway.process.history import describe_exit
from gateway.process.nursery import Nursery

START_SECONDS = 60.0

Relay = Callable[["Member", str, Any, str], None]


class Member:
    """A worker process; made anew for every replacement."""

    def __init__(
        self,
        index: int,
        nursery: Nursery,
        configuration: dict[str, Any],
        bound: list[socket.socket],
        relay: Relay,
        kept: dict[str, dict[str, Any]],
    ) -> None:
        """`configuration` is what it is told first; `kept` are messages that it has missed, by topic and key."""
        self.index = index
        self.pid = 0
        """Process id; 0 until it is born."""
        self.is_ready = False
        """Whether it has begun to serve."""
        self._nursery = nursery
        self._configuration = configuration
        self._bound = bound
        self._relay = relay
        self._kept = kept
        self._ended: asyncio.Future[int] | None = None
        self._link: Link | None = None
        self._reply: asyncio.Future[Any] | None = None
        self._asking = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._born = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._born

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._ended is not None and not self._ended.done()

    async def start(self) -> None:
        """Start the process and wait until it serves. Raises ConfigurationError with what it says."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise ConfigurationError(f"worker {self.index} cannot be started: {error.strerror}") from None
        try:
            with theirs:
                self.pid = await self._nursery.bear([theirs.fileno(), *(bound.fileno() for bound in self._bound)])
            self._ended = _end_of(self.pid)
        except OSError as error:
            ours.close()  # a worker that was born all the same sees that, and ends
            raise ConfigurationError(f"worker {self.index} cannot be started: {error.strerror}") from None
        except BaseException:
            ours.close()
            raise
        self._link = await Link.open(ours)
        self._reading = asyncio.create_task(self._follow(self._link))
        for topic, messages in self._kept.items():
            for key, message in messages.items():
                self._link.send(topic, message, key)
        try:
            await self._request("supervisor.configure", self._configuration)
        except ConfigurationError:
            self.kill()
            await self.wait()
            raise
        self.is_ready = True

    async def prove_itself(self, seconds: float) -> None:
        """Wait so long and see that it is still there. Raises ConfigurationError if it is not."""
        assert self._ended is not None
        await asyncio.wait((self._ended,), timeout=seconds)
        if not self.is_running:
            status = await self.wait()
            raise ConfigurationError(
                f"worker {self.index} died as soon as it served: {describe_exit(status)}; its log says why"
            )

    async def prepare(self, source: dict[str, Any]) -> bool:
        """Have a new configuration built beside the old one; whether only another worker can take it up.

        Raises ConfigurationError.
        """
        return bool(await self._request("supervisor.prepare", source))

    async def _request(self, topic: str, message: Any) -> Any:
        async with self._asking:
            if self._link is None or self._reading is None or self._reading.done():
                raise ConfigurationError(f"worker {self.index} is not there; it is being replaced")
            self._reply = asyncio.get_running_loop().create_future()
            self._link.send(topic, message)
            try:
                async with asyncio.timeout(START_SECONDS):
                    return await self._reply
            except TimeoutError:
                raise ConfigurationError(f"worker {self.index} did not answer within {START_SECONDS:g} s") from None
            finally:
                self._reply = None

    async def _follow(self, link: Link) -> None:
        async for topic, message, keep in link.messages():
            if topic in ("worker.ready", "worker.prepared", "worker.answer"):
                self._settle(message)
            elif topic == "worker.failed":
                self._settle(ConfigurationError(message))
            elif not topic.startswith("worker."):
                self._relay(self, topic, message, keep)
        self._settle(ConfigurationError(f"worker {self.index} ended before it was ready; its log says why"))

    def _settle(self, answer: Any) -> None:
        reply = self._reply
        if reply is not None and not reply.done():
            if isinstance(answer, Exception):
                reply.set_exception(answer)
            else:
                reply.set_result(answer)

    async def ask(self, question: Any) -> Any:
        """What the worker says to a question. Raises ConfigurationError."""
        return await self._request("supervisor.ask", question)

    def send(self, topic: str, message: Any, keep: str = "") -> None:
        """Send over the bus, if the worker is there."""
        if self._link is not None:
            self._link.send(topic, message, keep)

    def drain(self) -> None:
        """Have it finish and go."""
        self.send("supervisor.drain", None)

    async def wait(self) -> int:
        """Wait for its end; the exit status."""
        assert self._ended is not None
        status = await asyncio.shield(self._ended)
        if self._link is not None:
            self._link.close()
        return status

    def kill(self) -> None:
        """End it at once, if it is still there."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _end_of(pid: int) -> asyncio.Future[int]:
    """The exit status of a child, as soon as it has ended; negative for the signal that ended it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    descriptor = os.pidfd_open(pid)

    def reap() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        ended.set_result(os.waitstatus_to_exitcode(status))

    loop.add_reader(descriptor, reap)
    return ended
