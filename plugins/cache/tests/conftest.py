"""One gateway with the cache, one origin, and a path of its own for each exchange with them."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import pytest

from gateway import format_date
from gateway.testing import GatewayProcess, Origin, StoreServer, reply
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


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], StoreServer]]:
    """`redis_server()`: start one; it is gone when the test is."""
    with ExitStack() as stack:

        def start() -> StoreServer:
            started = StoreServer("redis", tmp_path_factory.mktemp("redis"))
            stack.callback(started.kill)
            return started

        yield start
