"""Under load: large bodies, many clients, reloads and restarts, endpoints that die. Nothing is lost."""

from __future__ import annotations

import os
import resource
import signal
import statistics
import threading
import time

import pytest

from gateway.testing import (
    Client,
    GatewayProcess,
    Load,
    OriginConnection,
    SeenRequest,
    reply,
    site_text,
    wait_for_workers,
    wait_until,
)
from gateway.testing.tree import rss_bytes

MIB = 1 << 20
GIB = 1 << 30
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
SOURCES = tuple(f"127.0.0.{number}" for number in range(1, 9))


class Memory:
    """The largest growth of a gateway's process tree since this was made."""

    def __init__(self, site: GatewayProcess) -> None:
        self._pids = site.pids
        self._before = self._now()
        self._most = self._before

    def look(self) -> None:
        self._most = max(self._most, self._now())

    @property
    def growth(self) -> int:
        return self._most - self._before

    def _now(self) -> int:
        return sum(map(rss_bytes, self._pids))


def pause(seconds: float) -> None:
    """Let time pass: this is the slowness of a peer under test, not a wait for something."""
    threading.Event().wait(seconds)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_gibibyte_down_to_a_slow_client_takes_little_memory(gateway, origin, framing):
    size = GIB if framing == "length" else GIB // 4
    chunk = bytes(MIB)

    def flood(connection: OriginConnection, request: SeenRequest) -> None:
        if framing == "length":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        else:
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // MIB):
            connection.send(chunk if framing == "length" else b"100000\r\n" + chunk + b"\r\n")
        if framing == "chunked":
            connection.send(b"0\r\n\r\n")

    site = gateway(endpoints=[origin(flood)])
    memory = Memory(site)
    with site.connect() as client:
        client.send(GET)
        client.wire.take_until(b"\r\n\r\n")
        received = 0
        while received < size:
            burst = received + 64 * MIB
            while received < min(burst, size):
                received += len(client.wire.take_some())
            memory.look()
            pause(0.05)
    assert memory.growth < 64 * MIB


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_gibibyte_up_to_a_slow_origin_takes_little_memory(gateway, origin, framing):
    size = GIB if framing == "length" else GIB // 4
    taken = [0]

    def swallow(connection: OriginConnection, request: SeenRequest) -> None:
        while taken[0] < size:
            burst = taken[0] + 64 * MIB
            while taken[0] < min(burst, size):
                taken[0] += len(connection.receive())
            memory.look()
            pause(0.05)
        connection.send(reply(b"full", b"Connection: close"))
        connection.close()

    site = gateway(endpoints=[origin(swallow)], limits={"max_body": 0})
    memory = Memory(site)
    chunk = bytes(MIB)
    with site.connect(timeout=30) as client:
        if framing == "length":
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        else:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // MIB):
            client.send(chunk if framing == "length" else b"100000\r\n" + chunk + b"\r\n")
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert client.read_response().body == b"full"
    assert memory.growth < 64 * MIB


def test_the_first_byte_of_an_event_stream_passes_within_50_ms(gateway, origin):
    sent: list[float] = []

    def events(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        pause(0.02)
        sent.append(time.monotonic())
        connection.send(b"data: 1\n\n")
        connection.wait_closed()

    site = gateway(endpoints=[origin(events)])
    delays = []
    for _ in range(9):
        with site.connect() as client:
            client.send(GET)
            client.wire.take_until(b"data: 1")
            delays.append(time.monotonic() - sent[-1])
    assert statistics.median(delays) < 0.05, delays


def test_twenty_reloads_under_load_lose_no_request(gateway, steady):
    urls = [steady("first"), steady("other")]
    site = gateway(endpoints=urls[:1], workers=2)
    with Load(site.address, connections=8) as kept, Load(site.address, connections=8, rate=300) as fresh:
        for number in range(1, 21):
            site.site_file.write_text(site_text([urls[number % 2]], workers=2))
            site.signal(signal.SIGHUP)
            expected = (b"first", b"other")[number % 2]
            wait_until(lambda expected=expected: all(site.get().body == expected for _ in range(4)), every=0.05)
            kept.wait_for(20)
            fresh.wait_for(10)
    assert not kept.lost
    assert not fresh.lost
    assert kept.repeated == 0


def test_six_rolling_restarts_refuse_and_cut_nothing(gateway, steady):
    """Fresh connections at up to 5,000 a second; over kept ones a client may have to repeat (RFC 9112 9.3.1)."""
    site = gateway(endpoints=[steady()], workers=2)
    wait_for_workers(site, 2)
    with (
        Load(site.address, connections=128, rate=5000, sources=SOURCES) as fresh,
        Load(site.address, connections=32, pause=0.05) as kept,
    ):
        for _ in range(6):
            fresh.wait_for(500)
            kept.wait_for(50)
            restart(site)
        wait_for_workers(site, 2)
        fresh.wait_for(500)
    print(f"fresh: {fresh!r}, kept: {kept!r}")
    assert not fresh.lost
    assert not kept.lost


def restart(site: GatewayProcess) -> None:
    """Replace every worker; the old ones may still be draining afterwards."""
    before = set(site.workers)
    done = site.restart()
    assert done.returncode == 0, done.stderr
    assert len(set(site.workers) - before) == 2


def test_two_hundred_clients_that_leave_leave_no_upstream_connection_behind(gateway, origin):
    def half(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000))
        connection.wait_closed()

    app = origin(half)
    site = gateway(endpoints=[app], workers=2)
    clients: list[Client] = []
    for _ in range(200):
        clients.append(site.connect(receive_buffer=8192))
        clients[-1].send(GET)
    for client in clients:
        client.wire.take_until(b"\r\n\r\n")
    assert app.open_now == 200
    for number, client in enumerate(clients):
        (client.close if number % 2 else client.reset)()
    wait_until(lambda: app.open_now == 0, message="upstream connections were left behind")
    app.answer(reply(b"well"))
    assert site.get().body == b"well"


def test_an_endpoint_that_dies_under_load_loses_no_get(gateway, steady):
    first, second = steady("first"), steady("second")
    site = gateway(endpoints=[first, second], workers=2)
    with Load(site.address, connections=16) as load:
        load.wait_for(300)
        os.kill(steady.pids[first], signal.SIGKILL)
        wait_until(lambda: site.get().body == b"second")
        load.wait_for(1000)
    assert not load.lost, load


def test_five_thousand_idle_connections_leave_the_service_intact(gateway, steady):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip(f"needs 12,000 open files, and the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    site = gateway(endpoints=[steady()], listeners=[{"bind": "127.0.0.1:0", "header_timeout": "120s"}])
    memory = Memory(site)
    clients: list[Client] = []
    try:
        for number in range(5000):
            clients.append(site.connect(source=SOURCES[number % 8]))
            assert clients[-1].request(GET).status == 200
        memory.look()
        with Load(site.address, connections=8) as load:
            load.wait_for(500)
        assert not load.lost
        for client in clients[::50]:
            assert client.request(GET).status == 200
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert memory.growth < 5000 * 12 * 1024
