"""Two sides of a relay: ends are passed on, and nothing that a slow peer has not taken is thrown away."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.listeners import relay
from gateway.listeners.relay import Side


class Pipe:
    """A transport that takes down what is done to it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.written = b""
        self.is_paused = False
        self.ended = ""
        self.extra: dict[str, object] = {}

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return bool(self.ended)

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, pieces: list[bytes]) -> None:
        self.written += b"".join(pieces)

    def write_eof(self) -> None:
        self.written += b"<eof>"

    def set_write_buffer_limits(self, high: int) -> None:
        assert high < 2**20

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def get_extra_info(self, name: str) -> object:
        return self.extra.get(name)


@pytest.fixture
async def sides() -> tuple[Side, Side]:
    outer, inner = Side(can_half_close=True), Side(can_half_close=False)
    for side in (outer, inner):
        side.connection_made(Pipe())
    return outer, inner


async def test_what_came_early_is_passed_on_first(sides):
    outer, inner = sides
    outer.data_received(b"early, ")
    assert outer.transport.is_paused
    outer.join(inner)
    outer.data_received(b"late")
    assert inner.transport.written == b"early, late"
    assert not outer.transport.is_paused


async def test_who_takes_no_more_stops_the_other(sides):
    outer, inner = sides
    outer.join(inner)
    outer.pause_writing()
    assert inner.transport.is_paused
    outer.resume_writing()
    assert not inner.transport.is_paused


async def test_a_client_may_say_its_last_and_go_on_listening(sides):
    outer, inner = sides
    outer.join(inner)
    assert outer.eof_received()
    assert inner.transport.written == b"<eof>"
    inner.data_received(b"answer")
    assert outer.transport.written == b"answer"


async def test_the_end_of_the_inner_side_is_the_end_of_both(sides):
    outer, inner = sides
    outer.join(inner)
    assert not inner.eof_received()
    inner.connection_lost(None)
    assert outer.transport.ended == "closed"


async def test_a_broken_side_breaks_the_other(sides):
    outer, inner = sides
    outer.join(inner)
    inner.connection_lost(ConnectionResetError())
    assert outer.transport.ended == "aborted"


async def test_what_a_slow_client_has_not_taken_is_waited_for(sides, monkeypatch):
    monkeypatch.setattr(relay, "FLUSH_LOOK_SECONDS", 0.001)
    outer, inner = sides
    outer.join(inner)
    outer.transport.waiting = 1000
    inner.connection_lost(None)
    for _ in range(20):
        await asyncio.sleep(0.001)
        assert not outer.transport.ended
    assert outer.transport.is_paused  # what it says now is for nobody
    outer.transport.waiting = 0
    async with asyncio.timeout(5):
        while not outer.transport.ended:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)
    assert outer.transport.ended == "closed"


async def test_over_tls_who_has_everything_is_not_waited_for(sides, monkeypatch):
    monkeypatch.setattr(relay, "GOODBYE_SECONDS", 0.001)
    monkeypatch.setattr(relay, "FLUSH_LOOK_SECONDS", 0.001)
    outer, inner = sides
    outer.join(inner)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sent:
        taken, _ = server.accept()
        with taken:
            sent.setblocking(False)
            sent.send(bytes(8_000_000))  # more than the two systems hold, if nobody reads
            outer.transport.extra = {"sslcontext": object(), "socket": sent}
            inner.connection_lost(None)
            for _ in range(20):
                await asyncio.sleep(0.001)
                assert outer.transport.ended == "closed"
            with taken.makefile("rb") as reader:
                loop = asyncio.get_running_loop()
                reading = loop.run_in_executor(None, reader.read)
                async with asyncio.timeout(5):
                    while outer.transport.ended != "aborted":  # noqa: ASYNC110  # nobody tells
                        await asyncio.sleep(0.001)
                sent.close()
                await reading


async def test_the_map_forgets_before_the_port_is_free(sides):
    outer, _ = sides
    told = []
    inner = Side(can_half_close=False, on_end=lambda: told.append(inner.transport.ended))
    inner.connection_made(Pipe())
    outer.join(inner)
    outer.connection_lost(None)
    assert told == [""]
    inner.connection_lost(None)
    assert told == [""]
