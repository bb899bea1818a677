"""One worker as its supervisor sees it: the process, its end of the bus, and what it is waiting for.

Owns the conversation with one worker. Does not decide which workers there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from gateway.errors import ConfigurationError
from gateway.process.bus import Link

START_SECONDS = 60.0

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""For glibc: keep the pieces of bodies on the heap. Given back to the system and taken anew for each piece,
their page faults cost as much as everything else that is done to a large body (`large`)."""

Relay = Callable[["Member", str, Any, str], None]


class Member:
    """A worker process; made anew for every replacement."""

    def __init__(
        self,
        index: int,
        source: dict[str, Any],
        bound: list[socket.socket],
        max_connections: int,
        relay: Relay,
        kept: dict[str, dict[str, Any]],
    ) -> None:
        """`kept` are the messages that it has missed, by topic and key."""
        self.index = index
        self._source = source
        self._bound = bound
        self._max_connections = max_connections
        self._relay = relay
        self._kept = kept
        self._process: asyncio.subprocess.Process | None = None
        self._link: Link | None = None
        self._reply: asyncio.Future[Any] | None = None
        self._asking = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._born = time.monotonic()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid if self._process else 0

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._born

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and wait until it serves. Raises ConfigurationError with what it says."""
        ours, theirs = socket.socketpair()
        fds = [bound.fileno() for bound in self._bound]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.process.worker",
            str(theirs.fileno()),
            pass_fds=[theirs.fileno(), *fds],
            env=ALLOCATOR | os.environ,
        )
        theirs.close()
        self._link = await Link.open(ours)
        self._reading = asyncio.create_task(self._follow(self._link))
        for topic, messages in self._kept.items():
            for key, message in messages.items():
                self._link.send(topic, message, key)
        configuration = {
            "source": self._source,
            "worker": self.index,
            "fds": fds,
            "max_connections": self._max_connections,
        }
        try:
            await self._request("supervisor.configure", configuration)
        except ConfigurationError:
            self.kill()
            await self.wait()
            raise

    async def prepare(self, source: dict[str, Any]) -> None:
        """Have a new configuration built beside the old one. Raises ConfigurationError."""
        await self._request("supervisor.prepare", source)
        self._source = source

    async def _request(self, topic: str, message: Any) -> Any:
        assert self._link is not None
        async with self._asking:
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
        assert self._process is not None
        status = await self._process.wait()
        if self._link is not None:
            self._link.close()
        return status

    def kill(self) -> None:
        """End it at once, if it is still there."""
        if self.is_running:
            # Not Process.kill: that looks for the exit status first, and takes it away from whoever waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
