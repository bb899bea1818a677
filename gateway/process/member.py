"""One worker as its supervisor sees it: the process, its end of the bus, and what it is waiting for.

Owns the conversation with one worker. Does not decide which workers there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
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

log = logging.getLogger("gateway.supervisor")

START_SECONDS = 60.0
ANSWER_SECONDS = 3.0
"""So long an operator's question waits for a worker."""
PING_SECONDS = 1.0
SILENT_PINGS = 5
"""With so many that were not answered a worker is told of, and no longer waited for."""

Relay = Callable[["Member", str, Any, str], None]


class NoAnswer(ConfigurationError):
    """A worker does not answer, or not any more."""


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
        self.is_preparing = False
        """Whether it builds another App: a plugin's startup may hold it up for long."""
        self.is_pinged = False
        """Whether a ping has not been answered yet. No further one is sent before: they would pile up."""
        self.unanswered = 0
        """For how many pings there has been no answer. Seconds would be wrong: they pass, too, while it is the
        supervisor that stands still."""
        self.ending = ""
        """Why it is not there, if that is known."""
        self._nursery = nursery
        self._configuration = configuration
        self._bound = bound
        self._relay = relay
        self._kept = kept
        self._ended: asyncio.Future[int] | None = None
        self._link: Link | None = None
        self._numbers = itertools.count()
        self._replies: dict[int, asyncio.Future[Any]] = {}
        """What is waited for, by the number of the request."""
        self._pong = asyncio.Event()
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

    @property
    def name(self) -> str:
        """What logs and operators call it."""
        return f"worker {self.index} (pid {self.pid})"

    @property
    def silent_seconds(self) -> float:
        """For how long it has not answered, as far as that was counted."""
        return self.unanswered * PING_SECONDS

    @property
    def is_silent(self) -> bool:
        """Whether it has not answered for so long that there is no use in waiting for it."""
        return self.unanswered >= SILENT_PINGS

    def as_data(self) -> dict[str, Any]:
        """For `gateway status`."""
        return {
            "index": self.index,
            "pid": self.pid,
            "age": self.age,
            "is_running": self.is_running,
            "silent_seconds": self.silent_seconds,
            "ending": self.ending,
        }

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
            await self._request("supervisor.configure", self._configuration, START_SECONDS)
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
        self.is_preparing = True
        try:
            return bool(await self._request("supervisor.prepare", source, START_SECONDS))
        finally:
            self.is_preparing = False

    async def ask(self, question: Any) -> Any:
        """What the worker says to a question. Raises ConfigurationError; NoAnswer if it says nothing."""
        if self.is_silent:
            raise self._silence()
        return await self._request("supervisor.ask", question, ANSWER_SECONDS)

    async def _request(self, topic: str, message: Any, seconds: float) -> Any:
        if self._link is None or self._reading is None or self._reading.done():
            raise NoAnswer(f"worker {self.index} is not there; it is being replaced")
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        self._link.send(topic, [number, message])
        try:
            async with asyncio.timeout(seconds):
                return await reply
        except TimeoutError:
            raise self._silence() from None
        finally:
            del self._replies[number]

    def _silence(self) -> NoAnswer:
        if self.is_ready:
            return NoAnswer(f"{self.name} does not answer")
        return NoAnswer(f"{self.name} is not ready after {self.age:.0f} s")

    async def _follow(self, link: Link) -> None:
        async for topic, message, keep in link.messages():
            if topic == "worker.answer":
                self._settle(*message)
            elif topic == "worker.failed":
                number, reason = message
                self._settle(number, ConfigurationError(reason))
            elif topic == "worker.pong":
                self._heard()
            elif not topic.startswith("worker."):
                self._relay(self, topic, message, keep)
        what = "it answered" if self.is_ready else "it was ready"
        for number in self._replies:
            self._settle(number, NoAnswer(f"{self.name} ended before {what}; its log says why"))

    def _settle(self, number: int, answer: Any) -> None:
        reply = self._replies.get(number)  # None: nobody waits for it any more
        if reply is not None and not reply.done():
            if isinstance(answer, Exception):
                reply.set_exception(answer)
            else:
                reply.set_result(answer)

    # -- is it there? ------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Ask whether its loop goes on, or count that it has not said so."""
        if self.is_pinged:
            self.unanswered += 1
        else:
            self.is_pinged = True
            self.send("supervisor.ping", None)

    def _heard(self) -> None:
        if self.is_silent:
            log.warning("%s answers again, after %g s", self.name, self.silent_seconds)
        self.is_pinged, self.unanswered = False, 0
        self._pong.set()

    async def check(self) -> None:
        """See that it answers. Raises NoAnswer if it does not do so soon; one that is not ready is not asked."""
        if not self.is_ready:
            return
        if self.is_silent:
            raise self._silence()
        self._pong.clear()
        if not self.is_pinged:
            self.ping()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._pong.wait()
        except TimeoutError:
            raise self._silence() from None

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
