"""rate-limit and connection-limit in gateways of two workers: exact for all of them, whatever becomes of one."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from gateway.testing import (
    Client,
    GatewayProcess,
    Held,
    OriginConnection,
    SeenRequest,
    StoreServer,
    reply,
    wait_until,
)

WHO = """
import os

from gateway import hookimpl


class Who:
    @hookimpl
    def on_response(self, exchange, response):
        response.headers.set("x-worker", str(os.getpid()))
"""
"""A plugin that says which worker answered. Listed first, it sees refusals, too."""

GET = "GET {} HTTP/1.1\r\nHost: a.example\r\n\r\n"


def settings_of(origin, redis: str = "") -> dict[str, object]:
    rates = {
        "/hundred": {"rate": "100/d"},
        "/held": {"rate": "3/d", "burst": 1, "name": "held"},
        "/kept": {"rate": "7/d"},
        "/shared": {"rate": "100/h", "store": {"use": "redis", "url": redis, "timeout": "10s"}},
    }
    if not redis:
        del rates["/shared"]
    limited = [
        {"match": {"path": path}, "upstream": "app", "plugins": {"rate-limit": rate}}
        for path, rate in rates.items()
    ]
    counted = [
        {"match": {"path": path}, "upstream": "app", "plugins": {"connection-limit": {"requests": most}}}
        for path, most in (("/slow", 10), ("/ws", 3))
    ]
    return {
        "workers": 2,
        "plugins": {"./who.py:Who": {}},
        "upstreams": {"app": {"endpoints": [origin]}},
        "routes": [*limited, *counted],
    }


def answer(connection: OriginConnection, request: SeenRequest) -> None:
    """Echo an upgrade's key, as a WebSocket server has to, and leave when the other side says anything."""
    key = request.header("sec-websocket-key")
    if key is None:
        connection.send(reply(b"hello"))
        return
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )
    connection.receive()
    connection.close()


@pytest.fixture(scope="module")
def redis(tmp_path_factory) -> Iterator[StoreServer]:
    server = StoreServer("redis", tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def app(module_origin):
    return module_origin(answer)


@pytest.fixture(scope="module")
def site(module_gateway, app, redis) -> GatewayProcess:
    return module_gateway(files={"who.py": WHO}, **settings_of(app, redis.url))


@pytest.fixture
def crowd() -> Iterator[Callable[..., list[Client]]]:
    """`crowd(site)`: kept connections, some to each worker."""
    with ExitStack() as stack:

        def gather(site: GatewayProcess, *, workers: int = 2, each: int = 5) -> list[Client]:
            clients: list[Client] = []
            counts: Counter[bytes] = Counter()

            def has_enough() -> bool:
                client = site.connect()
                stack.callback(client.close)
                worker = client.request(GET.format("/").encode()).header("x-worker")
                if counts[worker] < each:
                    counts[worker] += 1
                    clients.append(client)
                return list(counts.values()) == [each] * workers

            wait_until(has_enough, within=20, every=0)
            return clients

        yield gather


def rush(clients: list[Client], target: str, each: int) -> list[Counter[int]]:
    """The statuses that each client saw, all of them asking at once, without waiting for answers."""
    request = GET.format(target).encode()

    def ask(client: Client) -> Counter[int]:
        client.send(request * each)
        return Counter(client.read_response().status for _ in range(each))

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(ask, clients))


def test_a_limit_of_a_hundred_lets_a_hundred_through_both_workers_together(site, crowd):
    clients = crowd(site)
    assert sum(rush(clients, "/hundred", 5), Counter()) == {200: 50}
    assert sum(rush(clients, "/hundred", 35), Counter()) == {200: 50, 429: 300}


def test_a_refusal_is_the_gateways_page_with_the_fields(site, app):
    assert site.get("/held").status == 200
    before = len(app.requests)
    refused = site.get("/held", b"Accept: application/json")
    assert refused.status == 429
    assert refused.header("content-type") == b"application/json"
    assert b'"error":"Too Many Requests"' in refused.body
    assert 28_000 < int(refused.header("retry-after")) <= 28_800
    assert refused.header("ratelimit-policy") == b'"held";q=1;w=28800'
    assert refused.header("ratelimit").startswith(b'"held";r=0;t=28')
    assert len(app.requests) == before
    assert "rate-limit: refused 127.0.0.1: over the limit 'held'" in site.log


def test_two_gateways_with_one_redis_let_a_hundred_through_together(site, gateway, app, redis, crowd):
    other = gateway(files={"who.py": WHO}, **{**settings_of(app, redis.url), "workers": 1})
    clients = [*crowd(site, each=2), *crowd(other, workers=1)]
    assert sum(rush(clients, "/shared", 5), Counter()) == {200: 45}
    assert sum(rush(clients, "/shared", 20), Counter()) == {200: 55, 429: 125}


def test_of_many_requests_at_once_as_many_are_let_in_as_may_be_under_way(site, app, crowd):
    held = Held(reply(b"done"), target=b"/slow")
    app.answer(held)
    try:
        clients = crowd(site, each=15)
        for client in clients:
            client.send(GET.format("/slow").encode())
        with ThreadPoolExecutor(len(clients)) as pool:
            statuses = pool.map(lambda client: client.read_response().status, clients)
            wait_until(lambda: sum(each.target == b"/slow" for each in app.requests) >= 10)
            wait_until(lambda: site.log.count("10 requests under way already") >= 20)
            held.released.set()
            assert Counter(statuses) == {200: 10, 429: 20}
        assert {client.request(GET.format("/slow").encode()).status for client in clients[:10]} == {200}
    finally:
        app.answer(answer)


def test_a_websocket_counts_for_as_long_as_it_lasts(site, app):
    with ExitStack() as stack:
        for _ in range(3):
            url = f"ws://127.0.0.1:{site.port}/ws"
            stack.enter_context(connect(url, compression=None, ping_interval=None, close_timeout=0.1))
        assert site.get("/ws").status == 429
    wait_until(lambda: site.get("/ws").status == 200)


def test_what_a_worker_that_was_killed_had_under_way_is_given_back(site, app, crowd):
    held = Held(reply(b"done"), target=b"/slow")
    app.answer(held)
    try:
        before = len(app.requests)
        for client in crowd(site):
            client.send(GET.format("/slow").encode())
        wait_until(lambda: sum(each.target == b"/slow" for each in app.requests[before:]) == 10)
        assert site.get("/slow").status == 429
        workers = site.workers
        os.kill(workers[0], signal.SIGKILL)
        held.released.set()
        wait_until(lambda: site.get("/slow").status == 200, within=10)
        wait_until(lambda: workers[0] not in site.workers and len(site.workers) == 2, within=20)
    finally:
        app.answer(answer)


def test_counts_outlive_a_reload_and_the_workers_and_go_with_the_gateway(gateway, app):
    site = gateway(files={"who.py": WHO}, **settings_of(app))
    mine = f"-{site.pid}-"
    folder = next(path for path in (Path("/dev/shm"), site.directory) if path.is_dir()) / f"gateway-{os.geteuid()}"

    def files() -> set[str]:
        return {path.name for path in folder.iterdir() if mine in path.name}

    made = files()
    assert len(made) == 5
    assert [site.get("/kept").status for _ in range(5)] == [200] * 5
    assert site.reload().returncode == 0
    assert site.get("/kept").status == 200
    former = site.workers
    for worker in former:
        os.kill(worker, signal.SIGKILL)
    site.wait_for_log("is back", within=20, times=2)
    assert [site.get("/kept").status for _ in range(2)] == [200, 429]
    assert files() == made
    site.stop()
    assert files() == set()


def test_a_client_has_so_many_connections_in_all_workers_together(gateway, origin):
    site = gateway(endpoints=[origin()], plugins=[{"use": "connection-limit", "connections": 10}], workers=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(14)]
        answers = [beginning_of_answer(client) for client in clients]
        assert Counter(answers) == {b"HTTP/1.1 200": 10, b"": 4}
        with site.connect(source="127.0.0.2") as other:
            assert other.request(GET.format("/").encode()).status == 200
        clients[answers.index(b"HTTP/1.1 200")].close()
        wait_until(lambda: is_let_in(site))
    assert "denied 127.0.0.1: connection-limit: 10 connections are open already" in site.log


def test_a_reload_forgets_no_connection_that_is_open(gateway, origin):
    guard = {"use": "connection-limit", "connections": 3}
    site = gateway(endpoints=[origin()], plugins=[guard], workers=1)
    with ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(3)]
        assert [beginning_of_answer(client) for client in clients] == [b"HTTP/1.1 200"] * 3
        assert site.reload().returncode == 0
        assert not is_let_in(site)
        clients.pop().close()
        wait_until(lambda: is_let_in(site))


def is_let_in(site: GatewayProcess) -> bool:
    with site.connect() as client:
        return beginning_of_answer(client) != b""


def beginning_of_answer(client: Client) -> bytes:
    """Empty if the connection is closed, with a reset where the request was not read any more."""
    try:
        client.send(GET.format("/").encode())
        return client.receive()[:12]
    except (BrokenPipeError, ConnectionResetError):
        return b""
