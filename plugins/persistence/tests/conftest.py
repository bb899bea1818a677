"""Exchanges as the plugin sees them, crowds of clients, and real stores that a test can kill and start again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from gateway_persistence import Persistence
from hypothesis import HealthCheck, settings

from gateway import Attempt, Endpoint, EndpointState, Exchange, Headers, Metrics, Request, Response, Upstream
from gateway.bus import Bus
from gateway.config.model import Upstream as UpstreamSettings
from gateway.testing import Client, GatewayProcess, Origin, StoreServer, reply, wait_until
from gateway.testing import Response as WireResponse
from gateway.upstream.balancer import First
from gateway.upstream.ticker import Ticker

settings.register_profile(
    "persistence", deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("persistence")

SECRET = "a secret of the tests"


class Clock:
    """A clock that stands until it is told otherwise."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_upstream(name: str = "app", count: int = 3) -> Upstream:
    endpoints = [{"url": f"http://10.0.0.{number}:80"} for number in range(1, count + 1)]
    return Upstream(name, UpstreamSettings(endpoints=endpoints), First(), Ticker())


@pytest.fixture
def upstream() -> Upstream:
    """`app`, with three endpoints."""
    return make_upstream()


class Site:
    """A plugin in a gateway without sockets: one worker with its bus."""

    def __init__(self, *upstreams: Upstream, bus: Bus | None = None, worker: int = 0) -> None:
        self.upstreams = {upstream.name: upstream for upstream in upstreams}
        self.bus = bus or Bus()
        self.app: Any = SimpleNamespace(
            upstreams=self.upstreams,
            bus=self.bus,
            metrics=Metrics(),
            once=lambda name: worker == 0,
            is_trusted=lambda request: False,
        )

    def plugin(self, *arguments: Any, **options: Any) -> Any:
        """The plugin with these settings, started; positional arguments go to its class after the settings."""
        config = Persistence.Config(**options)
        plugin = Persistence(config, *arguments)
        if hasattr(plugin, "startup"):
            plugin.startup(self.app)
        return plugin

    def exchange(self, *fields: tuple[str, str | bytes], upstream: str = "", **options: Any) -> Exchange:
        exchange = Exchange(self.app, Request("GET", "/", [("host", "a"), *fields], **options))
        exchange.upstream = self.upstreams[upstream] if upstream else next(iter(self.upstreams.values()))
        return exchange

    def carry(
        self,
        plugin: Any,
        *fields: tuple[str, str | bytes],
        picks: int = 0,
        answer: Sequence[tuple[str, str]] = (),
        **options: Any,
    ) -> tuple[Exchange, Response]:
        """Take one exchange through a synchronous plugin; the balancer would pick the endpoint number `picks`."""
        exchange = self.exchange(*fields, **options)
        if hasattr(plugin, "on_request"):
            plugin.on_request(exchange)
        available = exchange.upstream.available
        endpoint = plugin.on_select(exchange, available) or available[picks]
        attend(exchange, endpoint)
        response = Response(200, list(answer))
        plugin.on_response(exchange, response)
        return exchange, response


def attend(exchange: Exchange, endpoint: Endpoint, error: Exception | None = None) -> Attempt:
    """Add an attempt that was answered, or failed."""
    attempt = Attempt(len(exchange.attempts) + 1, endpoint, Headers())
    attempt.status, attempt.error = (None, error) if error else (200, None)
    exchange.attempts.append(attempt)
    return attempt


@pytest.fixture
def site(upstream: Upstream) -> Site:
    return Site(upstream)


def hold(upstream: Upstream, number: int, state: EndpointState) -> None:
    """Mark an endpoint of an upstream."""
    upstream.mark(upstream.endpoints[number], "test", state, "a test")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], StoreServer]]:
    """`server("redis")`, `server("memcached")`: start one; it is gone when the test is."""
    with ExitStack() as stack:

        def start(use: str) -> StoreServer:
            started = StoreServer(use, tmp_path_factory.mktemp(use))
            stack.callback(started.kill)
            return started

        yield start


@pytest.fixture
def make_site() -> type[Site]:
    return Site


@pytest.fixture
def tools() -> SimpleNamespace:
    """`attend`, `hold`, `make_upstream` and the secret."""
    return SimpleNamespace(attend=attend, hold=hold, make_upstream=make_upstream, secret=SECRET, Clock=Clock)


WHO = """
import os

from gateway import hookimpl


class Who:
    @hookimpl
    def on_response(self, exchange, response):
        response.headers.set("x-worker", str(os.getpid()))
"""
"""A plugin that says which worker answered."""


PIPELINED = 50
"""Requests of a crowd under way at once."""


class Crowd:
    """Clients of one gateway with kept connections to both of its workers, between which their sessions wander.

    `fields` go along with the requests that find out which worker a connection leads to.
    """

    def __init__(self, site: GatewayProcess, *fields: str, sources: Sequence[str] = ("127.0.0.1",)) -> None:
        self._chance = random.Random(7)
        self._clients: dict[str, dict[bytes, Client]] = {}
        for source in sources:
            self._clients[source] = {}
            wait_until(lambda source=source: self._has_both(site, fields, source), within=20, every=0)

    def ask(self, *fields: str, source: str = "127.0.0.1", count: int = 1) -> list[WireResponse]:
        """Ask so often, each time one of the workers by chance; every answer is a 200.

        Requests to the same worker are sent without waiting for answers (RFC 9112 9.3.2), some at a time.
        """
        clients = [client for _, client in sorted(self._clients[source].items())]
        request = _request(fields)
        answers: list[WireResponse] = []
        while len(answers) < count:
            some = Counter(self._chance.choices(clients, k=min(PIPELINED, count - len(answers))))
            for client, number in some.items():
                client.send(request * number)
            answers += [client.read_response() for client, number in some.items() for _ in range(number)]
        assert {answer.status for answer in answers} == {200}
        return answers

    def ask_both(self, *fields: str, source: str = "127.0.0.1") -> set[bytes]:
        """Who answers when each worker is asked once."""
        return {client.request(_request(fields)).body for client in self._clients[source].values()}

    @property
    def workers(self) -> list[int]:
        """The process ids of those who answer."""
        return [int(worker) for clients in self._clients.values() for worker in clients]

    def close(self) -> None:
        """Leave."""
        for clients in self._clients.values():
            for client in clients.values():
                client.close()

    def _has_both(self, site: GatewayProcess, fields: Sequence[str], source: str) -> bool:
        clients = self._clients[source]
        client = site.connect(source=source)
        worker = client.request(_request(fields)).header("x-worker")
        assert worker is not None
        if clients.setdefault(worker, client) is not client:
            client.close()
        return len(clients) == 2


def _request(fields: Sequence[str]) -> bytes:
    head = "".join(f"{field}\r\n" for field in fields)
    return f"GET / HTTP/1.1\r\nHost: a.example\r\n{head}\r\n".encode("latin-1")


@pytest.fixture
def crowd() -> Iterator[Callable[..., Crowd]]:
    """`crowd(site)`: clients that are gone when the test is."""
    with ExitStack() as stack:

        def gather(*arguments: Any, **options: Any) -> Crowd:
            gathered = Crowd(*arguments, **options)
            stack.callback(gathered.close)
            return gathered

        yield gather


@pytest.fixture
def apps(origin) -> list[Origin]:
    """Three origins; each answers with its number."""
    return [origin(reply(b"%d" % number)) for number in range(3)]


@pytest.fixture
def persistent(gateway, apps) -> Callable[..., GatewayProcess]:
    """`persistent(method="source")`: a gateway of two workers in front of the origins, with these settings."""

    def start(*, endpoints: Sequence[Origin] = (), upstream: dict[str, Any] | None = None, **options: Any) -> Any:
        listed = [app.url for app in endpoints or apps]
        return gateway(
            workers=2,
            plugins=["balancing", {"use": "persistence", **options}, "./who.py:Who"],
            files={"who.py": WHO},
            upstreams={"app": {"balancer": "round-robin", "endpoints": listed, **(upstream or {})}},
        )

    return start
