"""WebSocket clients that the gateway will not read any further: they are told, and the endpoint that it is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from gateway.testing import Client, GatewayProcess, wait_until

MIB = 1 << 20
MASK = b"\0\0\0\0"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
FIRST, NEXT, WHOLE = b"\x02", b"\x00", b"\x82"
"""Beginnings of frames of binary messages (RFC 6455 5.2)."""
REASON = b"a frame over 16 MiB, a message over 64 MiB, or a breach of RFC 6455"


@pytest.fixture(scope="module")
def ended() -> list[int | None]:
    """Codes of the close frames that the endpoint got; None for one without a code."""
    return []


@pytest.fixture(scope="module")
def relay(module_gateway, ended) -> Iterator[GatewayProcess]:
    def take(connection: ServerConnection) -> None:
        try:
            while True:
                connection.recv()
        except ConnectionClosed as closed:
            ended.append(closed.rcvd and closed.rcvd.code)

    with serve(take, "127.0.0.1", 0, max_size=None, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield module_gateway(endpoints=[f"http://127.0.0.1:{server.socket.getsockname()[1]}"])
        server.shutdown()


@pytest.fixture
def client(relay: GatewayProcess, ended: list[int | None]) -> Iterator[Client]:
    ended.clear()
    with relay.connect() as client:
        client.send(HANDSHAKE)
        assert client.read_response().status == 101
        yield client
    wait_until(lambda: ended, message="the endpoint has not heard that it is over")  # so that no later test does


def head(beginning: bytes, size: int) -> bytes:
    return beginning + b"\xff" + size.to_bytes(8, "big") + MASK


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(head(WHOLE, 16 * MIB + 1), id="a frame that is too large"),
        pytest.param(b"\x82\x01a", id="without a mask"),
        pytest.param(b"\xc2\x80" + MASK, id="a reserved bit"),
        pytest.param(b"\x81\x81" + MASK + b"\xff", id="no UTF-8"),
    ],
)
def test_a_client_whose_frame_cannot_be_read_is_told_so(client, ended, frame):
    client.send(frame)
    assert client.read_until_closed() == b"\x88" + bytes([2 + len(REASON)]) + b"\x03\xf0" + REASON
    wait_until(lambda: ended == [1005])


def test_a_client_whose_message_is_too_large_is_told_so(client, ended):
    part = bytes(15 * MIB)
    for beginning in (FIRST, NEXT, NEXT, NEXT):
        client.send(head(beginning, len(part)) + part)
    client.send(head(NEXT, 5 * MIB))
    client.send(part[: 5 * MIB])
    assert client.read_until_closed().endswith(REASON)
    wait_until(lambda: ended == [1005])


def test_one_of_just_the_size_passes(relay, client):
    part = bytes(16 * MIB)
    client.send(head(WHOLE, len(part)) + part)
    client.send(b"\x89\x80" + MASK)
    assert client.receive() == b"\x8a\x00"  # a pong: it is read on


def test_a_client_that_closes_without_a_code_gets_none(client, ended):
    client.send(b"\x88\x80" + MASK)
    assert client.read_until_closed() == b"\x88\x00"
    wait_until(lambda: ended == [1005])
