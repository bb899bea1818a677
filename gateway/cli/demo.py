"""`gateway demo`: three origins, a gateway in front of them and a trickle of requests, to be watched.

Owns all that the demo starts, and its end. The gateway is a `gateway run` like any other; how its numbers are
shown is in `gateway.cli.demo_view`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import re
import shlex
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import click

from gateway.cli.demo_view import Counts, View
from gateway.config.model import parse_bind
from gateway.errors import ConfigurationError

PROFILE = "l7-balancer"
NAMES = ("one", "two", "three")
PREFERRED = "127.0.0.1:8080"
WORKERS = 2
PR_SET_PDEATHSIG = 1
REQUESTS_PER_SECOND = 20.0
TIMEOUT_SECONDS = 5.0
LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 3.0
"""How long the gateway may take to stop, before it is told again, and at last killed."""

_LISTENING = re.compile(r"gateway: listening on (http://\S+:\d+)").match
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE).search


@click.command()
@click.option("--listen", metavar="ADDR:PORT", help=f"Listen here.  [default: {PREFERRED}, or any free port]")
@click.option("--duration", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Stop after so long.")
def demo(listen: str | None, duration: float | None) -> None:
    """Watch a gateway spread requests over three small origins that it starts for you."""
    asyncio.run(_demo(_checked(listen) if listen else _preferred(), duration))


def _checked(listen: str) -> str:
    try:
        address = parse_bind(listen)
    except ValueError as error:
        raise ConfigurationError(f"--listen: {error}") from None
    if getattr(address, "path", ""):
        raise ConfigurationError(f'--listen: the demo wants "ADDRESS:PORT", not {listen!r}')
    return listen


def _preferred() -> str:
    """The usual address, or one with any free port when somebody is there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(PREFERRED.rpartition(":")[2])))
        except OSError:
            return "127.0.0.1:0"
    return PREFERRED


async def _demo(listen: str, duration: float | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        origins = [await stack.enter_async_context(_serving(Origin(name))) for name in NAMES]
        child = await stack.enter_async_context(_running(listen, [origin.url for origin in origins], stop))
        view = stack.enter_context(View(child.url, child.command, [(each.name, each.url) for each in origins]))
        trickle = Trickle(child.url)
        stack.push_async_callback(trickle.end)
        deadline = time.monotonic() + (duration or float("inf"))
        while not stop.is_set() and time.monotonic() < deadline:
            view.show(_counts(origins, trickle))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        await trickle.end()
        view.close(_counts(origins, trickle))
    if child.died is not None:
        raise click.ClickException(f"the gateway ended by itself, with status {child.died}")


def _counts(origins: list[Origin], trickle: Trickle) -> Counts:
    return Counts(time.monotonic(), tuple(origin.served for origin in origins), trickle.failed)


class Origin:
    """A tiny HTTP/1.1 server that says its name and counts what it answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.served = 0
        self.open: set[asyncio.StreamWriter] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, request by request, until either side has had enough."""
        self.open.add(writer)
        try:
            while await self._answer_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH(head)
        await _skip(reader, int(length[1]) if length else 0)
        method, _, target = head.partition(b"\r\n")[0].rpartition(b" ")[0].partition(b" ")
        body = b"Hello from %b: %b %b\n" % (self.name.encode(), method, target)
        is_chunked = b"\r\ntransfer-encoding:" in head.lower()  # not read: answer early and close
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b\r\n%b"
            % (len(body), b"Connection: close\r\n" if is_chunked else b"", b"" if method == b"HEAD" else body)
        )
        await writer.drain()
        self.served += 1
        return not is_chunked


async def _skip(reader: asyncio.StreamReader, count: int) -> None:
    while count > 0:
        count -= len(await reader.readexactly(min(count, 1 << 16)))


@asynccontextmanager
async def _serving(origin: Origin) -> AsyncIterator[Origin]:
    """The origin on a free port of its own."""
    server = await asyncio.start_server(origin.answer, "127.0.0.1", 0)
    origin.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    try:
        yield origin
    finally:
        server.close()
        for writer in tuple(origin.open):
            writer.transport.abort()


class Child:
    """The gateway: a process of its own, which no Ctrl-C reaches but through us."""

    def __init__(self, process: Process, command: str) -> None:
        self._process = process
        self.command = command
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

    async def follow(self, stop: asyncio.Event) -> None:
        """Pass on what it logs; when it ends by itself, so does the demo."""
        async for line in self._lines():
            click.echo(line, err=True)
        self.died = await self._process.wait()
        stop.set()

    async def _lines(self) -> AsyncIterator[str]:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            yield line.decode(errors="replace").rstrip()

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
async def _running(listen: str, upstreams: list[str], stop: asyncio.Event) -> AsyncIterator[Child]:
    """A gateway that serves."""
    arguments = ["run", PROFILE, "--listen", listen, "--workers", str(WORKERS)]
    for url in upstreams:
        arguments += ["--upstream", url]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments,
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True, preexec_fn=_die_with_parent,
    )  # fmt: skip
    child = Child(process, shlex.join(["gateway", *arguments]))
    following: asyncio.Task[None] | None = None
    try:
        await child.wait_until_ready()
        following = asyncio.create_task(child.follow(stop))
        yield child
    finally:
        if following is not None:
            following.cancel()
        await child.end()


class Trickle:
    """Our own requests: a few a second, each over a fresh connection, so that there is something to see."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._request = f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
        self.failed = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            asking = asyncio.create_task(self._ask())
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            await asyncio.sleep(random.expovariate(REQUESTS_PER_SECOND))

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_connection(*self._address)
                try:
                    writer.write(self._request)
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            answer = b""
        self.failed += not answer.startswith(b"HTTP/1.1 200 ")

    async def end(self) -> None:
        """Ask no more, and let what is under way come home."""
        self._task.cancel()
        if self._asking:
            await asyncio.wait(self._asking, timeout=TIMEOUT_SECONDS)
