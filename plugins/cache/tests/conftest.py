"""One gateway with the cache, one origin, and a path of its own for each exchange with them."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway import format_date
from gateway.testing import GatewayProcess, Origin, reply, require_program, wait_until
from gateway.testing import Response as Answer

STALE = (b"Cache-Control: max-age=10", b'ETag: "a"')
_numbers = itertools.count(1)


class Case:
    """A resource at the origin: what is answered, and how often it was asked."""

    def __init__(self, site: GatewayProcess, origin: Origin) -> None:
        self.site, self.origin = site, origin
        self.path = f"/case/{next(_numbers)}"
        origin.reset()

    def answers(self, *fields: bytes, body: bytes = b"one", status: bytes = b"200 OK") -> None:
        self.origin.answer(reply(body, *fields, status=status))

    def stale(self, *fields: bytes, age: int = 50) -> None:
        """Have a response stored that is so many seconds old; without fields one that was fresh for ten."""
        self.answers(*(fields or STALE), b"Date: " + self.ago(age), b"X-Old: 1")
        self.get()

    def confirms(self, *fields: bytes) -> None:
        """Answer 304 from now on."""
        lines = (field + b"\r\n" for field in fields)
        self.origin.answer(b"".join((b"HTTP/1.1 304 Not Modified\r\n", *lines, b"\r\n")))

    def answers_to_head(self, *fields: bytes) -> None:
        """Answer with a head alone from now on."""
        self.origin.answer(b"".join((b"HTTP/1.1 200 OK\r\n", *(field + b"\r\n" for field in fields), b"\r\n")))

    def get(self, *fields: str, method: str = "GET", path: str = "") -> Answer:
        lines = "".join(f"{field}\r\n" for field in ("Host: a.example", *fields))
        return self.site.request(f"{method} {path or self.path} HTTP/1.1\r\n{lines}\r\n".encode())

    def stored_after(self, *fields: bytes, request: Iterable[str] = (), **answer) -> bool:
        """Whether a second request is answered from what the first one brought."""
        self.answers(*fields, **answer)
        self.get(*request)
        return self.told(self.get(*request)).startswith("hit")

    @staticmethod
    def told(answer: Answer) -> str:
        """What Cache-Status says, without the number of seconds."""
        status = answer.header("cache-status")
        return re.sub(r"ttl=(-?)\d+", r"ttl=\1", status.decode()).removeprefix("gateway; ") if status else ""

    @staticmethod
    def ago(seconds: float) -> bytes:
        """A date, so many seconds before now."""
        return format_date(int(time.time() - seconds))

    @property
    def asked(self) -> int:
        return len(self.origin.requests)


@pytest.fixture(scope="module")
def running_origin(module_origin) -> Origin:
    return module_origin()


@pytest.fixture(scope="module")
def site(module_gateway, running_origin) -> GatewayProcess:
    settings = {
        "use": "cache",
        "ignore_query": ["utm_*"],
        "sort_query": True,
        "bypass_cookies": ["session*"],
        "max_entry": "256KiB",
    }
    return module_gateway(endpoints=[running_origin], workers=1, plugins=[settings])


@pytest.fixture
def case(site, running_origin) -> Case:
    return Case(site, running_origin)


class RedisServer:
    """Redis as a child process, on a port of its own that it keeps when it is started again."""

    def __init__(self, directory: Path) -> None:
        self.port = _lasting_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it can be reached."""
        program = require_program("redis-server")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *options], cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._is_there, within=10, message="redis-server does not start")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it accept connections and not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """What it answers, in its own protocol: one piece of it."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65536)

    def asked(self, command: str) -> int:
        """How often it was given a command."""
        counted = re.search(rf"cmdstat_{command}:calls=(\d+)".encode(), self.ask("INFO", "commandstats"))
        return int(counted[1]) if counted else 0

    def _is_there(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            return self.ask("PING") == b"+PONG\r\n"
        except OSError:
            return False


def _lasting_port() -> int:
    """A free port that stays free while its server is down: from below those that the system gives away."""
    given_away = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.Random(os.getpid()).sample(range(given_away // 2, given_away), 100)
    for port in candidates:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"none of 100 ports is free: {candidates}")


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RedisServer]]:
    """`redis_server()`: start one; it is gone when the test is."""
    with ExitStack() as stack:

        def start() -> RedisServer:
            started = RedisServer(tmp_path_factory.mktemp("redis"))
            stack.callback(started.kill)
            return started

        yield start
