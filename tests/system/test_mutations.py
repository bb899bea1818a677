"""Messages that are slightly wrong in thousands of ways: no worker dies, nothing hangs, nothing is smuggled.

The mutations are random but the same in every run; a failure names the bytes that caused it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from gateway.testing import BadWire, CutShort, OriginConnection, SeenRequest, reply, wait_until

SITE = {
    "limits": {"body_timeout": "300ms", "max_body": "64KiB"},
    "listeners": [{"bind": "127.0.0.1:0", "header_timeout": "1s"}],
}
NASTY = [
    *(b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b";", b"\x80", b"\xff", b"\x0b"),
    *(b"0", b"9" * 20, b"-1", b"0x10", b"chunked", b"gzip", b"close", b"HTTP/1.1", b"HTTP/1.0", b"1" * 300),
    *(b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n0\r\n\r\n"),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"Host: other\r\n"),
    *(b"Expect: 100-continue\r\n", b"Trailer: x\r\n"),
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello",
    b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
]
REQUESTS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT / HTTP/1.0\r\nHost: a.example\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
]


def mutations(seeds: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Each with one to three places where something was put in, taken out or replaced."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data))
            taken = chance.choice((0, 0, 1, 1, 2, 8))
            data[place : place + taken] = chance.choice((b"", *NASTY, *NASTY))
        yield bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_no_response_kills_a_worker_or_leaves_a_client_waiting(site, app, seed):
    workers = site.workers
    for wire in mutations(RESPONSES, 150, seed):

        def send(connection: OriginConnection, request: SeenRequest, wire: bytes = wire) -> None:
            connection.send(wire)
            connection.close()

        app.answer(send)
        try:
            site.get(timeout=4)
        except CutShort as cut:
            if cut.response is None:
                pytest.fail(f"no response at all after {wire!r}")
        except (TimeoutError, BadWire) as error:
            pytest.fail(f"{error!r} after {wire!r}")
        assert site.workers == workers, wire
    app.answer(reply(b"well"))
    assert site.get().body == b"well"


@pytest.mark.parametrize("seed", range(4))
def test_no_request_kills_a_worker_or_reaches_the_origin_in_two_framings(site, app, seed):
    workers = site.workers
    for wire in mutations(REQUESTS, 100, seed):
        with site.connect(timeout=0.15) as client:
            client.send(wire)
            try:
                client.read_response("GET")
            except (CutShort, TimeoutError):
                pass
        assert site.workers == workers, wire
        for seen in app.requests:
            assert well_formed(seen), (wire, seen.raw)
        app.requests.clear()
    wait_until(lambda: site.get().body == b"ok")


def well_formed(seen: SeenRequest) -> bool:
    """One Host, at most one framing, and neither a stray CR or LF nor a NUL."""
    framings = seen.header_all("content-length") + seen.header_all("transfer-encoding")
    values = b"".join(name + value for name, value in seen.headers) + seen.start_line
    is_clean = not any(byte in values for byte in b"\r\n\0")
    return (
        len(seen.header_all("host")) == 1 and len(framings) <= 1 and is_clean and seen.start_line.count(b" ") == 2
    )
