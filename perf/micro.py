"""`python -m perf.micro`: parts of the core by themselves — headers, routing, pipeline, balancers.

In one process and without a socket. The least of several repetitions, in µs a call; about 0.05 µs of each
figure is the loop around it. Imports the gateway's inside, which nothing else here does.
"""

from __future__ import annotations

import random
import re
import timeit
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, product
from typing import Any, cast

import click
from rich.console import Console

from gateway.config import model as config
from gateway.errors import ConfigurationError
from gateway.headers import Headers, RawHeaders
from gateway.listeners.request import read_request
from gateway.model import Attempt, Exchange, Request, Response
from gateway.pipeline import Pipeline, run
from gateway.registry import PluginLoader, Registry, installed_plugins
from gateway.routing import Route, Router
from gateway.upstream.balancer import Balancer, First
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.group import Upstream
from gateway.upstream.message import incoming_headers, outgoing_headers, request_head
from perf import report
from perf.hooks.empty import Empty

REPEATS = 5
RUNS = 64
BALANCER_GOALS = {10: 1.5, 1000: 8.0}
"""µs for one choose(), by the number of endpoints."""
WITHOUT_GOAL = frozenset(("rendezvous",))
"""Balancers that look at every endpoint by their nature."""
BALANCER_LOADS = {"idle": 1, "busy": 8}
KEY: dict[str, object] = {"key": "header:x-user"}
BOUND: dict[str, object] = {"balance_factor": 1.25}
BALANCER_SETTINGS = {"": (KEY, {}), ", bounded": (KEY | BOUND, BOUND)}
"""What balancers are timed with, if they take it: a key, for that is the case worth timing, and bounded loads."""

FIELDS: RawHeaders = [
    (b"host", b"app.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    (b"accept", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
    (b"referer", b"https://app.example.com/orders"),
    (b"connection", b"keep-alive"),
]
"""What a browser sends."""

ANSWER: RawHeaders = [
    (b"server", b"nginx"),
    (b"date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
    (b"content-type", b"application/json"),
    (b"content-length", b"132"),
    (b"connection", b"keep-alive"),
]


@dataclass(frozen=True, slots=True)
class Case:
    """One function and the arguments of its calls, which are made in turn."""

    name: str
    function: Callable[..., object]
    calls: Sequence[tuple[Any, ...]]
    at_most_us: float | None = None

    def microseconds(self) -> float:
        """The least time of one call."""
        function, calls = self.function, self.calls

        def once() -> None:
            for arguments in calls:
                function(*arguments)

        timer = timeit.Timer(once)
        number, _ = timer.autorange()
        return min(timer.repeat(REPEATS, max(1, number // 2))) / max(1, number // 2) / len(calls) * 1e6


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[WORD]...")
def main(words: tuple[str, ...]) -> None:
    """Time parts of the core; with WORDs only the cases whose name holds one of them."""
    skipped: list[str] = []
    rows = []
    for case in all_cases(skipped):
        if words and not any(word in case.name for word in words):
            continue
        rows.append(_row(case, case.microseconds()))
    console = Console()
    report.print_table(["", "µs", "goal", ""], rows, console)
    for line in skipped:
        console.print(f"  not measured: {line}", highlight=False, markup=False)


def _row(case: Case, figure: float) -> list[str]:
    if case.at_most_us is None:
        return [case.name, f"{figure:.3f}", "", ""]
    verdict = report.MET if figure <= case.at_most_us else report.MISSED
    return [case.name, f"{figure:.3f}", f"≤ {case.at_most_us}", verdict]


def all_cases(skipped: list[str]) -> Iterable[Case]:
    """Every case; what cannot be timed here is named in `skipped`."""
    yield from header_cases()
    yield from message_cases()
    yield from router_cases()
    yield from pipeline_cases()
    yield from balancer_cases(skipped)


def header_cases() -> Iterable[Case]:
    headers = Headers.adopt(list(FIELDS))
    again = [()] * RUNS
    yield Case("headers: get, first of 8", lambda: headers.get(b"host"), again)
    yield Case("headers: get, absent", lambda: headers.get(b"x-none"), again)
    yield Case("headers: text by str name", lambda: headers.text("cookie"), again)
    yield Case("headers: set, present", lambda: headers.set("referer", "x"), again)
    yield Case("headers: copy and add", lambda: headers.copy().add(b"x-id", b"1"), again)


def message_cases() -> Iterable[Case]:
    again = [()] * RUNS
    request = Request("GET", "/orders/17?full=1", Headers.adopt(list(FIELDS)))
    outgoing = outgoing_headers(request, b"app.example.com", False)
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "raw_path": b"/orders/17",
        "query_string": b"full=1",
        "http_version": "1.1",
        "client": ("127.0.0.1", 50000),
        "headers": list(FIELDS),
    }
    yield Case("message: read_request", lambda: read_request(scope), again)
    yield Case("message: Exchange", lambda: Exchange(_NO_APP, request), again)
    yield Case("message: outgoing_headers", lambda: outgoing_headers(request, b"app.example.com", False), again)
    yield Case("message: request_head", lambda: request_head(b"GET", b"/orders/17", outgoing, b""), again)
    yield Case("message: incoming_headers", lambda: incoming_headers(ANSWER), again)


_NO_APP = cast("Any", None)
"""Nothing that is timed here asks its App anything."""
_NOWHERE = Upstream.nowhere()


def router_cases() -> Iterable[Case]:
    paths = [f"/api/v{n}/" for n in range(50)]
    one = Router([_route()])
    by_path = Router([_route(path=path) for path in paths])
    by_host = Router([_route(host=f"h{n}.example.com", path=path) for n in range(20) for path in paths[:5]])
    plain = [(Request("GET", f"/api/v{n % 50}/item", {"host": "a.example.com"}),) for n in range(RUNS)]
    named = [(Request("GET", f"/api/v{n % 5}/x", {"host": f"h{n % 20}.example.com"}),) for n in range(RUNS)]
    coded = [(Request("GET", f"/api/v{n % 50}/a%20b/../c", {"host": "a.example.com"}),) for n in range(RUNS)]
    yield Case("router: one route", one.match, plain)
    yield Case("router: 50 paths", by_path.match, plain)
    yield Case("router: 50 paths, coded", by_path.match, coded)
    yield Case("router: 20 hosts of 5 paths", by_host.match, named)
    for name, matches in THOUSAND_ROUTES.items():
        router = Router([_route(**match) for match in matches])
        yield Case(f"router: 1,000 routes, {name}", _match_afresh, _requests(router), ROUTER_GOAL)


ROUTER_GOAL = 5.0
"""µs for one match() among 1,000 routes."""

THOUSAND_ROUTES: dict[str, list[dict[str, Any]]] = {
    "one host": [{"path": f"/api/v{n}/"} for n in range(1000)],
    "deep paths": [{"path": f"/{n % 10}/{n // 10 % 10}/{n // 100}/a/b/c/"} for n in range(1000)],
    "hosts": [{"host": f"h{n}.example.com"} for n in range(1000)],
    "wildcard hosts": [{"host": f"*.h{n}.example.com"} for n in range(1000)],
    "expressions": [{"host": f"~^h{n}[.]example[.]com$"} for n in range(1000)],
    "exact": [{"exact": f"/api/v{n}/x/y"} for n in range(1000)],
    "patterns": [{"pattern": f"/api/v{n}/{{item}}/{{rest:path}}"} for n in range(1000)],
    "methods and headers": [
        {"path": f"/api/v{n // 4}/", "method": ["GET", "POST"][n % 2], "headers": {"x-beta": n % 4 > 1}}
        for n in range(1000)
    ],
}


def _requests(router: Router) -> list[tuple[Router, Request]]:
    """One for each of some routes all over the table; the last condition of a group is as likely as the first."""
    calls = []
    for n in range(0, len(router.routes), len(router.routes) // RUNS):
        match = router.routes[n].match
        path = match.exact or (match.pattern or match.path + "x/y").replace("{item}", "1").replace(
            "{rest:path}", "y"
        )
        host = re.sub(r"[\[\]~^$]", "", match.host).replace("*", "www") or "app.example.com"
        fields = [(name, host.encode() if name == b"host" else value) for name, value in FIELDS]
        fields += [(b"x-beta", b"1")] if match.headers.get("x-beta") else []
        request = Request(match.method[0] if match.method else "GET", path, Headers.adopt(fields))
        assert router.match(request) is router.routes[n]
        calls.append((router, request))
    return calls


def _match_afresh(router: Router, request: Request) -> object:
    request._host = None  # no request is matched twice
    return router.match(request)


def _route(**match: Any) -> Route:
    settings = config.Route(match=config.Match(**match), upstream="app")
    return Route(settings, Pipeline(), _NO_APP)


def pipeline_cases() -> Iterable[Case]:
    exchange = Exchange(_NO_APP, Request())
    response = Response()
    for count in (1, 5, 10):
        pipeline = Pipeline([(f"empty{n}", Empty()) for n in range(count)])
        asking = [(pipeline.ask, exchange)] * RUNS
        yield Case(f"pipeline: on_request, {count} empty", _finish, asking)
        passing = [(run, pipeline.on_response, exchange, response, "on_response", count)] * RUNS
        yield Case(f"pipeline: on_response, {count} empty", _finish, passing)


def _finish(function: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> None:
    """Run a coroutine that never waits."""
    try:
        function(*arguments).send(None)
    except StopIteration:
        return
    raise RuntimeError("it waited")


def balancer_cases(skipped: list[str]) -> Iterable[Case]:
    """Every balancer that the core and the installed plugins bring: idle, busy, and while exchanges come and go."""
    registry = _registry(skipped).registry
    exchanges = [_exchange(number) for number in range(RUNS)]
    for name, (words, choices) in product(registry.names("balancer"), BALANCER_SETTINGS.items()):
        try:
            build = _builder(registry, name, choices)
        except ConfigurationError as error:
            if not words:
                skipped.append(f"balancer {name}: {error}")
            continue
        for count, at_most_us in BALANCER_GOALS.items():
            goal = None if name in WITHOUT_GOAL else at_most_us
            for load, most in BALANCER_LOADS.items():
                turnover = Turnover(build(), _endpoints(count, most))
                calls = [(exchange, turnover.endpoints) for exchange in exchanges]
                yield Case(f"balancer: {name}{words}, {count:,} {load}", turnover.choose, calls, goal)
            again = [(_exchange(number),) for number in range(4096)]
            yield Case(f"balancer: {name}{words}, {count:,} turnover", turnover.turn, again, goal)


class Turnover:
    """A balancer and its endpoints, each with a response time known if it learns them, and exchanges under way."""

    def __init__(self, balancer: Balancer, endpoints: tuple[Endpoint, ...]) -> None:
        chance = random.Random(7)
        self.choose = balancer.choose
        self.endpoints = endpoints
        _NOWHERE.in_flight = sum(endpoint.in_flight for endpoint in endpoints)
        self._under_way = [endpoint for endpoint in endpoints for _ in range(endpoint.in_flight)]
        self._places = cycle([chance.randrange(len(self._under_way) or 1) for _ in range(9973)])
        balancer.choose(_exchange(0), endpoints)
        learn = getattr(balancer, "ended", None)
        if learn is not None:
            for endpoint in endpoints:
                attempt = Attempt(1, endpoint, Headers())
                attempt.status, attempt.ended = 200, attempt.started + chance.random()
                learn(attempt)

    def turn(self, exchange: Exchange) -> None:
        """Let one of those under way end, at random, and another one begin; takes some 0.2 µs for that."""
        place = next(self._places)
        self._under_way[place].in_flight -= 1
        picked = cast("Endpoint", self.choose(exchange, self.endpoints))
        picked.in_flight += 1
        self._under_way[place] = picked


def _exchange(number: int) -> Exchange:
    user = {"host": "a.example.com", "x-user": f"user{number}"}
    exchange = Exchange(_NO_APP, Request("GET", "/", user, client=f"10.0.0.{number}"))
    exchange.upstream = _NOWHERE
    return exchange


def _registry(skipped: list[str]) -> PluginLoader:
    loader = PluginLoader("")
    loader.registry.add_balancer("first", First)
    for name, entry in installed_plugins().items():
        try:
            if hasattr(entry.load(), "register"):
                loader.instances([config.PluginUse(use=name)])
        except (ConfigurationError, ImportError) as error:
            skipped.append(f"plugin {name}: {error}")
    return loader


def _builder(registry: Registry, name: str, choices: Iterable[dict[str, object]]) -> Callable[[], Balancer]:
    """Makes a balancer with the first of these settings that it takes. Raises ConfigurationError for none."""
    refused = ConfigurationError("no settings to try")
    for settings in choices:
        choice = config.Choice.model_validate({"use": name, **settings})
        try:
            registry.build("balancer", choice, name)
        except ConfigurationError as error:
            refused = error
        else:
            return partial(registry.build, "balancer", choice, name)
    raise refused


def _endpoints(count: int, most: int) -> tuple[Endpoint, ...]:
    """Of three different weights, each with a few exchanges under way, less than `most`."""
    chance = random.Random(7)
    urls = [f"http://10.{n // 250}.1.{n % 250 + 1}:8080" for n in range(count)]
    endpoints = tuple(Endpoint(config.EndpointSettings(url=url, weight=1 + n % 3)) for n, url in enumerate(urls))
    for endpoint in endpoints:
        endpoint.in_flight = chance.randrange(most)
    return endpoints


if __name__ == "__main__":
    main(prog_name="python -m perf.micro")
