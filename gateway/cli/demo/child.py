"""The gateway of the demo: a process of its own, started and ended by us, that no Ctrl-C reaches but through us."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from gateway.errors import ConfigurationError
from gateway.process import admin

PATIENCE_SECONDS = 3.0
"""How long the gateway may take to stop, before it is told again, and at last killed."""
PR_SET_PDEATHSIG = 1

_LISTENING = re.compile(r"gateway: listening on (http://\S+:\d+)").match
_EXPECTED = re.compile(r"gateway: |\S+ \S+ +(INFO|WARNING|ERROR .*: up → down: .*) ").match
"""What the tour brings about: attempts that fail, endpoints that go and come back."""


class Child:
    """A running `gateway run`."""

    def __init__(self, process: Process, site: Path) -> None:
        self._process = process
        self.command = shlex.join(["gateway", "run", str(site)])
        """What an operator would type to have the same."""
        self.url = ""
        self.died: int | None = None
        """Exit status, if it ended without being told."""

    async def wait_until_ready(self) -> None:
        """Read what it says until it serves. Raises ConfigurationError with what it says otherwise."""
        said: list[str] = []
        async for line in self._lines():
            if line == "gateway: ready":
                return
            if match := _LISTENING(line):
                self.url = match[1].replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
            said.append(line)
        raise ConfigurationError("\n".join(said).removeprefix("gateway: ") or "the gateway does not start")

    async def watch(self, stop: asyncio.Event) -> None:
        """When it ends by itself, so does the demo."""
        self.died = await self._process.wait()
        stop.set()

    async def pass_on_errors(self) -> None:
        """Say what it says, if it is not what the tour is about."""
        async for line in self._lines():
            if not _EXPECTED(line):
                click.echo(line, err=True)

    async def _lines(self) -> AsyncIterator[str]:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            yield line.decode(errors="replace").rstrip()

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """What the command line would ask. Raises ConfigurationError if it refuses or does not answer."""
        path = admin.default_folder() / f"{self._process.pid}.sock"
        reply = await asyncio.to_thread(admin.ask, path, command, **arguments)
        if "error" in reply:
            raise ConfigurationError(reply["error"])
        return reply

    async def end(self) -> None:
        """Tell it to stop, by its pid; again if it is slow; and kill it at last."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                # Not Process.send_signal: that takes the exit status away from whoever waits for it.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), PATIENCE_SECONDS)
                return


def _die_with_parent() -> None:
    """In the child: stop when the demo is gone, even if it was killed and could not say so (prctl(2), Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@asynccontextmanager
async def running(site: Path, stop: asyncio.Event) -> AsyncIterator[Child]:
    """A gateway that serves `site`. Sets `stop` when it ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "run", str(site),
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True, preexec_fn=_die_with_parent,
    )  # fmt: skip
    child = Child(process, site)
    following: list[asyncio.Task[None]] = []
    try:
        await child.wait_until_ready()
        following = [asyncio.create_task(child.watch(stop)), asyncio.create_task(child.pass_on_errors())]
        yield child
    finally:
        for task in following:
            task.cancel()
        await child.end()
