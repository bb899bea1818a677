"""Clients that are slow on purpose: service goes on for the others, and in the end the slow ones are cut.

And those that are slow through no fault of theirs, or wait for a slow endpoint: they are not.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from contextlib import ExitStack

import pytest

from gateway.testing import Client, GatewayProcess, reply, require_program, tree, wait_until

GET = b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n"

PLUGIN = """
import asyncio

from gateway import Response, hookimpl


class Answers:
    @hookimpl
    def on_request(self, exchange):
        path = exchange.request.raw_path
        if path == b"/whole":
            return Response(200, {}, bytes(2_000_000))
        if path == b"/endless":
            return Response(200, {}, self.endless())
        if path == b"/events":
            return Response(200, {"content-type": "text/event-stream"}, self.events())
        if path == b"/ok":
            return Response(200, {}, b"ok")

    async def endless(self):
        while True:
            await asyncio.sleep(0)  # for sending to a client that left does not wait
            yield bytes(32 * 1024)

    async def events(self):
        yield b"data: first\\n\\n"
        await asyncio.sleep(1.7)
        yield b"data: last\\n\\n"
"""

IMPATIENT = {"send_timeout": "1s", "send_rate": "2KiB", "body_timeout": "600ms", "body_rate": "1KiB"}


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def impatient(module_gateway, module_origin, certificate) -> GatewayProcess:
    """One whose limits are short, with a plain listener and one that speaks HTTP/2, too, over TLS."""
    listeners = [
        {"bind": "127.0.0.1:0", "header_timeout": "1s"},
        {
            "bind": "127.0.0.1:0",
            "header_timeout": "1s",
            "tls": {"cert": str(certificate.cert), "key": str(certificate.key)},
        },
    ]

    def answer(connection, request):
        connection.read_body(request)
        connection.send(reply(b"ok"))

    return module_gateway(
        endpoints=[module_origin(answer)],
        listeners=listeners,
        limits=IMPATIENT,
        plugins=["./answers.py:Answers"],
        files={"answers.py": PLUGIN},
    )


def small(site: GatewayProcess, path: bytes, tls: ssl.SSLContext | None = None) -> Client:
    """A client that has asked for something, and whose system holds little of it."""
    client = site.connect(1 if tls else 0, tls=tls, server_name="localhost", receive_buffer=4096)
    client.send(GET % path)
    return client


def is_cut(client: Client) -> bool:
    """Whether the connection is gone, looked at without taking anything from it."""
    return client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\x01"


# -- as an attack --------------------------------------------------------------------------------------------------


def test_slowhttptest_does_not_stop_the_service(gateway):
    """Slow heads, slow bodies and slow readers at once, at a gateway as it comes; an ordinary client is beside."""
    program = require_program("slowhttptest")
    site = gateway(endpoints=["http://127.0.0.1:9"], plugins=["./answers.py:Answers"], files={"answers.py": PLUGIN})
    common = [program, "-c", "300", "-r", "300", "-l", "2", "-p", "3", "-i", "1"]
    attacks = [
        [*common, "-H", "-u", f"{site.url}/ok"],
        [*common, "-B", "-s", "100000", "-u", f"{site.url}/upload"],
        [*common, "-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-u", f"{site.url}/endless"],
    ]
    with ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen(attack, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
            for attack in attacks
        ]
        for process in running:
            stack.callback(process.kill)
        answered, most = 0, 0
        while any(process.poll() is None for process in running):
            assert site.request(GET % b"/ok", timeout=2).body == b"ok"
            answered += 1
            most = max(most, tree.open_files(site.workers[0]))
    assert most > 600, "the attack did not take place"
    assert answered > 50
    assert site.rss_bytes < 500 * 1024**2


def test_a_thousand_connections_that_send_nothing_are_closed_in_time_and_harm_nobody(impatient):
    worker = impatient.workers[0]
    before = tree.open_files(worker)
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(socket.create_connection(impatient.address))
        wait_until(lambda: tree.open_files(worker) > before + 900)
        assert impatient.request(GET % b"/ok").body == b"ok"
        wait_until(lambda: tree.open_files(worker) < before + 100, within=8, message="they are still open")


@pytest.mark.xfail(
    strict=True,
    raises=TimeoutError,
    reason="who is silent holds one of max_connections for header_timeout; what helps is a limit for each address",
)
def test_as_many_silent_connections_as_there_may_be_do_not_stop_the_service(gateway):
    listener = {"bind": "127.0.0.1:0", "max_connections": 20, "header_timeout": "5s"}
    site = gateway(
        endpoints=["http://127.0.0.1:9"],
        listeners=[listener],
        plugins=["./answers.py:Answers"],
        files={"answers.py": PLUGIN},
    )
    with ExitStack() as stack:
        for _ in range(25):
            stack.enter_context(socket.create_connection(site.address))
        site.request(GET % b"/ok", timeout=1)


# -- cut in the end ------------------------------------------------------------------------------------------------


def test_clients_that_take_nothing_are_cut(impatient, certificate):
    """A response as it arrives or handed over as a whole, in the clear or over TLS."""
    tls = certificate.client_context()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(small(impatient, path, context))
            for path in (b"/endless", b"/whole")
            for context in (None, tls)
        ]
        wait_until(lambda: all(map(is_cut, clients)), within=4)
    impatient.wait_for_log("took less than 2048 bytes/s for 1 s")


def test_a_client_that_takes_a_trickle_is_cut(impatient):
    with small(impatient, b"/endless") as client:

        def took_some() -> bool:
            client.socket.recv(20)
            return is_cut(client)

        wait_until(took_some, within=6, every=0.05)


def test_what_a_slow_client_held_is_given_back(impatient):
    worker = impatient.workers[0]
    before = tree.open_files(worker)
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(small(impatient, b"/endless"))
        wait_until(lambda: tree.open_files(worker) >= before + 50)
        wait_until(lambda: tree.open_files(worker) <= before, within=4)


def test_a_body_that_trickles_gets_408(impatient):
    """Each byte in time for `body_timeout`, and all of them too slow."""
    with impatient.connect() as client:
        client.send(POST)
        for _ in range(20):
            client.send(b"x")
            if not client.is_quiet(0.1):
                break
        assert b" 408 " in client.wire.take_some() or client.is_closed_by_peer()


def test_tls_clients_that_ask_for_nothing_are_cut_and_hold_up_nobody(impatient, certificate):
    """With no handshake, half of one, a whole one, and one for HTTP/2.

    Granian gives a handshake ten seconds; after it, since the client might speak HTTP/2, it would wait for ever.
    """
    one, two = certificate.client_context(), certificate.client_context()
    two.set_alpn_protocols(["h2"])
    with ExitStack() as stack:
        silent = [stack.enter_context(impatient.connect(1)) for _ in range(50)]
        half, whole, http2 = (
            stack.enter_context(impatient.connect(1, tls=tls, server_name="localhost")) for tls in (None, one, two)
        )
        half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        http2.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        with small(impatient, b"/ok", certificate.client_context()) as client:
            assert client.read_response().body == b"ok"
        wait_until(lambda: all(map(is_cut, [*silent, half, whole, http2])), within=4)
    impatient.wait_for_log("asked for nothing for 1 s")


# -- through no fault of theirs ------------------------------------------------------------------------------------


def test_events_may_be_as_far_apart_as_they_like_and_the_connection_serves_on(impatient, certificate):
    with small(impatient, b"/events") as plain, small(impatient, b"/events", certificate.client_context()) as tls:
        for client in (plain, tls):
            assert client.read_response().body == b"data: first\n\ndata: last\n\n"
        for client in (plain, tls):
            assert client.request(GET % b"/ok").body == b"ok"


def test_a_client_that_is_slow_but_steady_gets_everything(impatient):
    """Some 20 KB a second: the whole would take it two minutes, and it must take 2 KB a second."""
    with small(impatient, b"/whole") as client:
        ends = time.monotonic() + 2

        def took_some() -> bool:
            assert client.socket.recv(400)
            return time.monotonic() > ends

        wait_until(took_some, every=0.02)
        assert not is_cut(client)
