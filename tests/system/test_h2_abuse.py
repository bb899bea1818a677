"""Abuse of HTTP/2 in literal frames: service goes on for the others, and memory stays bounded.

What ends most of it is in hyper, below Granian: these tests say what the version that is pinned does.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gateway.testing import GatewayProcess, tree, wait_until

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
ENHANCE_YOUR_CALM = 11
INITIAL_WINDOW = struct.Struct("!HI")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET_A = b"\x82\x86\x84\x41\x01a"
"""`GET http://a/`, in HPACK."""
POST_A = b"\x83\x86\x84\x41\x01a"
HELD_MB = 64
"""What an attack over one connection may cost in memory, in all."""

PLUGIN = """
import asyncio

from gateway import Response, hookimpl


class Answers:
    @hookimpl
    def on_request(self, exchange):
        path = exchange.request.raw_path
        if path == b"/endless":
            return Response(200, {}, self.endless())
        if path == b"/ok":
            return Response(200, {}, b"ok")

    async def endless(self):
        while True:
            await asyncio.sleep(0)
            yield bytes(32 * 1024)
"""


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def get(stream: int, path: bytes = b"") -> bytes:
    block = b"\x82\x86\x44" + bytes([len(path)]) + path + b"\x41\x01a" if path else GET_A
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


def cancel(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack("!I", 8))


class Peer:
    """A client that sends frames and keeps those that come."""

    def __init__(self, site: GatewayProcess, settings: bytes = b"") -> None:
        self._socket = socket.create_connection(site.address, timeout=5)
        self._received = b""
        self.is_over = False
        self.frames: list[tuple[int, int, int, bytes]] = []
        """Kind, flags, stream and payload."""
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def flood(self, pieces: Iterable[bytes]) -> bool:
        """Send all of them and read nothing; whether the gateway ended it."""
        try:
            for piece in pieces:
                self.send(piece)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return True
        return False

    def read(self, seconds: float = 0.05) -> bool:
        """Take what comes; whether that is all there will be."""
        self._socket.settimeout(seconds)
        try:
            while data := self._socket.recv(65536):
                self._received += data
            self.is_over = True
        except TimeoutError:
            pass
        except ConnectionResetError:
            self.is_over = True
        self._socket.settimeout(5)
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                break
            kind, flags, stream = self._received[3], self._received[4], int.from_bytes(self._received[5:9], "big")
            self.frames.append((kind, flags, stream, self._received[9 : 9 + size]))
            self._received = self._received[9 + size :]
        return self.is_over

    @property
    def goodbye(self) -> tuple[int, bytes]:
        """The code and the word of GOAWAY, once it came."""

        def found() -> tuple[int, bytes] | None:
            self.read()
            for kind, _, _, payload in self.frames:
                if kind == GOAWAY:
                    return int.from_bytes(payload[4:8], "big"), payload[8:]
            assert not self.is_over, "no GOAWAY"
            return None

        return wait_until(found)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def site(module_gateway, module_origin) -> GatewayProcess:
    """HTTP/2 on the first listener, HTTP/1 on the second, and an origin that never answers."""

    def never(connection, request):
        connection.wait_closed()

    return module_gateway(
        endpoints=[module_origin(never)],
        listeners=[{"bind": "127.0.0.1:0", "http": "2", "header_timeout": "1s"}, {"bind": "127.0.0.1:0"}],
        limits={"send_timeout": "1s"},
        plugins=["./answers.py:Answers"],
        files={"answers.py": PLUGIN},
    )


@pytest.fixture
def peer(site):
    """One that attacks; afterwards others are served, and little memory was needed."""
    before = site.rss_bytes
    attacker = Peer(site)
    yield attacker
    assert is_served(site)
    attacker.close()
    assert site.rss_bytes - before < HELD_MB * 1024**2


def is_served(site: GatewayProcess) -> bool:
    """Whether others are: over HTTP/1, and over HTTP/2."""
    with site.connect(1) as client:
        served = client.request(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").body == b"ok"
    other = Peer(site)
    other.send(get(1, b"/ok"))
    wait_until(lambda: other.read() or any(kind == DATA for kind, *_ in other.frames))
    other.close()
    return served and (DATA, END_STREAM, 1, b"ok") in other.frames


@contextmanager
def stalled(site: GatewayProcess, streams: int) -> Iterator[Peer]:
    """A client that asks for much and opens no window for it."""
    client = Peer(site, INITIAL_WINDOW.pack(4, 0))
    try:
        client.send(b"".join(get(number, b"/endless") for number in range(1, 2 * streams, 2)))
        yield client
    finally:
        client.close()


def test_streams_that_are_reset_at_once(peer):
    """Rapid reset, CVE-2023-44487."""
    pairs = (get(number) + cancel(number) for number in range(1, 20_001, 2))
    peer.flood(b"".join(pair for _, pair in zip(range(100), pairs, strict=False)) for _ in range(100))
    assert peer.goodbye == (ENHANCE_YOUR_CALM, b"too_many_resets")


def test_a_head_without_end(peer):
    """CONTINUATION flood, CVE-2024-27316: with fields in the frames, and with nothing in them."""
    fields = frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 3000)
    peer.flood([frame(HEADERS, END_STREAM, 1, GET_A), *[fields] * 2000])
    assert peer.goodbye == (ENHANCE_YOUR_CALM, b"too_many_continuations")


def test_a_head_that_goes_on_with_nothing(peer):
    peer.flood([frame(HEADERS, END_STREAM, 1, GET_A), *[frame(CONTINUATION, 0, 1) * 100] * 1000])
    assert peer.goodbye == (ENHANCE_YOUR_CALM, b"too_many_continuations")


def test_a_body_of_empty_frames(peer):
    """CVE-2019-9518."""
    peer.flood([frame(HEADERS, END_HEADERS, 1, POST_A), *[frame(DATA, 0, 1) * 1000] * 300])
    assert peer.goodbye == (ENHANCE_YOUR_CALM, b"too_many_data_frames")


def test_many_frames_that_want_an_answer_from_a_client_that_reads_none(peer, site):
    """CVE-2019-9512 and 9515: when the answers find no room, no more is read; then the patrol comes by."""
    pings, settings = frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0, INITIAL_WINDOW.pack(4, 65535))
    second = Peer(site)
    with ThreadPoolExecutor() as threads:
        floods = [
            threads.submit(attacker.flood, [asking * 1000] * 1000)
            for attacker, asking in ((peer, pings), (second, settings))
        ]
        assert all(flood.result() for flood in floods)
    second.close()
    site.wait_for_log("took less than 240 bytes/s")


def test_many_frames_that_want_no_answer(peer):
    assert not peer.flood([frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 1)) * 1000] * 300)
    peer.send(get(1, b"/ok"))
    wait_until(lambda: peer.read() or (DATA, END_STREAM, 1, b"ok") in peer.frames)
    assert not peer.is_over


def test_more_streams_at_once_than_are_allowed(peer):
    peer.send(b"".join(frame(HEADERS, END_HEADERS, number, POST_A) for number in range(1, 401, 2)))
    wait_until(lambda: peer.read() or sum(kind == RST_STREAM for kind, *_ in peer.frames) == 100)
    assert not peer.is_over, "the other hundred are served"


def test_streams_without_a_window_are_given_up_and_cost_the_connection(site):
    """A hundred of them hold memory, some 180 KB each, until their client has had its time."""
    before = site.rss_bytes
    with stalled(site, 100) as client:
        wait_until(lambda: site.rss_bytes > before + 2 * 1024**2)
        assert is_served(site)
        wait_until(client.read)
    assert site.rss_bytes - before < HELD_MB * 1024**2
    site.wait_for_log("took nothing of what was asked for")


def test_one_stream_without_a_window_is_given_up_and_those_beside_it_go_on(site):
    """As a player does that is paused, while its page goes on asking for things."""
    cuts = site.log.count("took nothing of what was asked for")
    with stalled(site, 1) as client:
        numbers = iter(range(3, 1001, 2))
        asked = []

        def asks() -> bool:
            asked.append(next(numbers))
            client.send(get(asked[-1], b"/ok") + frame(WINDOW_UPDATE, 0, asked[-1], struct.pack("!I", 2)))
            client.read(0.02)
            return len(asked) > 60

        wait_until(asks, every=0.01)
        assert all((DATA, END_STREAM, number, b"ok") in client.frames for number in asked[:-5])
    assert site.log.count("took nothing of what was asked for") == cuts


def test_an_idle_connection_is_closed_in_time(site):
    worker = site.workers[0]
    client = Peer(site)
    client.send(get(1, b"/ok"))
    wait_until(lambda: client.read() or (DATA, END_STREAM, 1, b"ok") in client.frames)
    assert not client.is_over
    assert tree.open_files(worker)
    wait_until(client.read, within=4)
    client.close()
