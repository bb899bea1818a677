"""One running gateway for each module of system tests, with one origin behind it.

A module may say with `SITE = {…}` what the shared gateway's site file holds; tests that need a state
of their own start their own with the `gateway` and `origin` fixtures.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gateway.testing import GatewayProcess, Origin


@pytest.fixture(scope="module")
def shared_origin(module_origin) -> Origin:
    return module_origin()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, module_gateway, shared_origin: Origin) -> GatewayProcess:
    """The module's gateway: core only, everything goes to `app`."""
    return module_gateway(endpoints=[shared_origin], **getattr(request.module, "SITE", {}))


@pytest.fixture
def app(shared_origin: Origin) -> Iterator[Origin]:
    """The origin behind `site`, with nothing seen yet and the plainest of answers."""
    shared_origin.reset()
    yield shared_origin
    assert shared_origin.errors == []
    shared_origin.reset()


@pytest.fixture(scope="module")
def black_hole() -> Iterator[str]:
    """An endpoint that never completes a handshake: a listener whose queue is full."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    address = listening.getsockname()
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(address)
    yield f"http://127.0.0.1:{address[1]}"
    for sock in (listening, *fillers):
        sock.close()


class Steady:
    """Start fast origins in processes of their own: `steady("body")` gives the URL of one."""

    def __init__(self, stack: ExitStack) -> None:
        self.pids: dict[str, int] = {}
        self._stack = stack

    def __call__(self, body: str = "steady") -> str:
        command = [sys.executable, str(Path(__file__).with_name("steady_origin.py")), body]
        process = self._stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        self._stack.callback(process.kill)
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        self.pids[url] = process.pid
        return url


@pytest.fixture
def steady() -> Iterator[Steady]:
    with ExitStack() as stack:
        yield Steady(stack)


class Demo(subprocess.Popen[str]):
    """A running `gateway demo`, on a port that is free."""

    COMMAND = (sys.executable, "-m", "gateway", "demo", "--listen", "127.0.0.1:0")

    def __init__(self, *arguments: str) -> None:
        pipe = subprocess.PIPE
        super().__init__([*self.COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def read_url(self) -> str:
        """Where its gateway listens, once that is said."""
        for line in self.stdout:
            if found := re.match(r"gateway +(http://\S+)", line):
                return found[1]
        raise AssertionError(self.stderr.read())

    def interrupt(self) -> tuple[str, str]:
        """What is left to read of its output and errors, after Ctrl-C."""
        self.send_signal(signal.SIGINT)
        return self.communicate(timeout=15)


@contextmanager
def demos() -> Iterator[Callable[..., Demo]]:
    with ExitStack() as stack:

        def start(*arguments: str) -> Demo:
            demo = stack.enter_context(Demo(*arguments))
            stack.callback(demo.kill)
            stack.callback(lambda: demo.poll() is None and demo.interrupt())
            return demo

        yield start


@pytest.fixture
def demo() -> Iterator[Callable[..., Demo]]:
    """Start demos: `demo("reverse-proxy", "--step", "1")`."""
    with demos() as start:
        yield start


@pytest.fixture(scope="module")
def module_demo() -> Iterator[Callable[..., Demo]]:
    """The same for a module."""
    with demos() as start:
        yield start
