"""A last word arrives, whatever its reader is doing meanwhile."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from gateway.listeners.farewell import say_last


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the client's, over TCP: a Unix socket knows no reset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=5)
        ours, _ = server.accept()
    ours.setblocking(False)
    with ours, client:
        yield ours, client


async def test_it_outlives_what_the_client_has_sent_and_nobody_has_read(pair):
    ours, client = pair
    client.sendall(b"x" * 100_000)
    saying = asyncio.create_task(say_last(ours, b"no"))
    saying.add_done_callback(lambda _: ours.close())
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, client.sendall, b"x" * 1_000_000)
    assert await loop.run_in_executor(None, client.recv, 10) == b"no"
    assert await loop.run_in_executor(None, client.recv, 10) == b""
    client.close()
    await saying


async def test_a_client_that_stays_is_not_waited_for_for_ever(pair):
    ours, client = pair
    async with asyncio.timeout(10):
        await say_last(ours, b"no")
    assert client.recv(10) == b"no"


async def test_nobody_there_to_hear_it_is_no_failure(pair):
    ours, client = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()
    await say_last(ours, b"no")
