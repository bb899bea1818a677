"""Streaming: bytes pass when they come, a stalled side stops the other, and memory stays bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from gateway.testing import Client, CutShort, OriginConnection, SeenRequest, reply, wait_until

MIB = 1 << 20
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


FAILING = """
from gateway import ResponseCut, hookimpl


class Failing:
    @hookimpl
    def wrap_response_body(self, exchange, body):
        return self._fail(body)

    async def _fail(self, body):
        async for _ in body:
            raise ResponseCut("the first piece is broken")
        yield b"never"
"""


def wait_until_still(counter: Callable[[], int], within: float = 10.0) -> int:
    """Wait until a counter that moved has not done so for 0.3 s; its value."""
    last, since = -1, time.monotonic()

    def is_still() -> bool:
        nonlocal last, since
        if (now := counter()) != last:
            last, since = now, time.monotonic()
        return last > 0 and time.monotonic() - since > 0.3

    wait_until(is_still, within=within)
    return last


def send_until_stuck(client: Client) -> int:
    """Send until nobody reads for half a second; how many bytes went (256 MiB at most)."""
    client.socket.settimeout(0.5)
    sent = 0
    try:
        while sent < 256 * MIB:
            sent += client.socket.send(bytes(1 << 16))
    except TimeoutError:
        pass
    return sent


class Gate:
    """A script that sends a piece each time the test says so."""

    def __init__(self, head: bytes, pieces: list[bytes]) -> None:
        self.passed = threading.Semaphore(0)
        self.head, self.pieces = head, pieces

    def __call__(self, connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(self.head)
        for piece in self.pieces:
            connection.wait_for(lambda: self.passed.acquire(blocking=False))
            connection.send(piece)


@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/octet-stream", b"text/html"])
def test_every_piece_of_a_response_passes_when_it_comes(site, app, kind):
    gate = Gate(CHUNKED + b"Content-Type: " + kind + b"\r\n\r\n", [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"])
    app.answer(gate)
    with site.connect(timeout=3) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        gate.passed.release()
        client.wire.take_until(b"\r\n\r\n")
        client.wire.take_until(b"one")
        gate.passed.release()
        client.wire.take_until(b"two")
        gate.passed.release()
        client.wire.take_until(b"0\r\n\r\n")


@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/octet-stream"])
def test_a_response_head_passes_before_there_is_a_body(site, app, kind):
    gate = Gate(CHUNKED + b"Content-Type: " + kind + b"\r\n\r\n", [b"0\r\n\r\n"])
    app.answer(gate)
    with site.connect(timeout=3) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.wire.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        gate.passed.release()


def test_a_body_that_a_plugin_has_wrapped_and_that_fails_at_once_cuts_the_response(gateway, app):
    def begin(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(CHUNKED + b"\r\n4\r\nsome\r\n")
        connection.stall()

    app.answer(begin)
    site = gateway(endpoints=[app], plugins=["failing.py:Failing"], files={"failing.py": FAILING})
    with pytest.raises(CutShort) as cut:
        site.get()
    assert (cut.value.response.status, cut.value.response.body) == (200, b"")


def test_a_response_with_a_length_passes_byte_by_byte(site, app):
    gate = Gate(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", [b"a", b"b", b"c"])
    app.answer(gate)
    with site.connect(timeout=3) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        gate.passed.release()
        assert client.wire.take_until(b"\r\n\r\n")
        for byte in (b"a", b"b", b"c"):
            assert client.wire.take_until(byte) == byte
            gate.passed.release()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_request_body_passes_while_it_comes(site, app, framing):
    arrived: list[bytes] = []

    def collect(connection: OriginConnection, request: SeenRequest) -> None:
        while b"last" not in b"".join(arrived):
            arrived.append(connection.receive())
        connection.send(reply(b"thanks"))
        connection.close()

    app.answer(collect)
    framed = {
        "length": (b"Content-Length: 9\r\n\r\n", b"first", b"last"),
        "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nfirst\r\n", b"4\r\nlast\r\n0\r\n\r\n"),
    }
    head, first, last = framed[framing]
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + first)
        wait_until(lambda: b"first" in b"".join(arrived))
        assert b"last" not in b"".join(arrived)
        client.send(last)
        assert client.read_response().body == b"thanks"


class Flood:
    """A script that sends 256 MiB and counts what the socket took."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
        while self.sent < 256 * MIB:
            self.sent += connection.socket.send(bytes(1 << 16))


def test_a_stalled_client_stops_the_reading_of_the_upstream(site, app):
    flood = Flood()
    app.answer(flood)
    before = site.rss_bytes
    with site.connect(receive_buffer=1 << 16) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wait_until_still(lambda: flood.sent) < 32 * MIB
        assert site.rss_bytes - before < 16 * MIB
        client.socket.setblocking(True)
        taken = len(client.wire.take_until(b"\r\n\r\n"))
        while taken < 40 * MIB:  # and goes on when the client does
            taken += len(client.receive())


def test_a_stalled_origin_stops_the_reading_of_the_client(site, app):
    app.answer(lambda connection, request: connection.stall())
    before = site.rss_bytes
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
        assert send_until_stuck(client) < 32 * MIB
        assert site.rss_bytes - before < 16 * MIB


def test_many_stalled_clients_cost_little_memory_each(site, app):
    floods: list[Flood] = []

    def start_flood(connection: OriginConnection, request: SeenRequest) -> None:
        floods.append(Flood())
        floods[-1](connection, request)

    app.answer(start_flood)
    before = site.rss_bytes
    clients: list[Client] = []
    try:
        for _ in range(30):
            clients.append(site.connect(receive_buffer=1 << 16))
            clients[-1].send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: len(floods) == 30)
        wait_until_still(lambda: sum(flood.sent for flood in floods))
        assert site.rss_bytes - before < 30 * MIB
    finally:
        for client in clients:
            client.reset()
    wait_until(lambda: app.open_now <= 1, message="upstream connections of clients that left are open")


def test_an_endpoint_that_answers_before_the_body_begins_is_heard(site, app):
    app.answer(lambda connection, request: connection.send(reply(b"first word")))
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.read_response().body == b"first word"


@pytest.mark.parametrize("size", [1, 100, 16 << 10, 64 << 10, MIB])
def test_an_echo_comes_back_whole_whatever_its_size(site, app, size):
    def echo(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(reply(connection.read_body(request)))

    app.answer(echo)
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with site.connect() as client:
        for _ in range(3):
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
            assert client.request(head + body).body == body


def test_a_large_response_survives_being_trickled(site, app):
    body = bytes(range(256)) * 400

    def trickle(connection: OriginConnection, request: SeenRequest) -> None:
        connection.trickle(reply(body), pieces=300, pause=0.0005)

    app.answer(trickle)
    assert site.get().body == body


def test_a_request_head_may_come_byte_by_byte(site, app):
    with site.connect() as client:
        for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi":
            client.send(bytes((byte,)))
        assert client.read_response().status == 200
    assert (app.last.target, app.last.body) == (b"/slow", b"hi")


def test_a_response_may_start_while_the_request_body_is_still_coming(site, app):
    """As gRPC and long uploads with progress do it; RFC 9112 has nothing against it."""

    def talk(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(CHUNKED + b"\r\n4\r\nfrom\r\n")
        connection.read_body(request)
        connection.send(b"6\r\n start\r\n0\r\n\r\n")

    app.answer(talk)
    with site.connect(timeout=3) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        client.wire.take_until(b"from")
        client.send(b"cd")
        client.wire.take_until(b" start\r\n0\r\n\r\n")
    wait_until(lambda: app.last.is_complete)
    assert app.last.body == b"abcd"
