"""Responses of endpoints: however the bytes are cut into pieces, they are read as the same response or error."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from fuzz_input import lines, number

from gateway.errors import UpstreamError
from gateway.upstream.http1 import Http1Connection
from gateway.upstream.message import ENDS_HERE

MAX_HEAD_BYTES = 1024
LOOP: Any = SimpleNamespace()
POOL: Any = SimpleNamespace(
    endpoint=SimpleNamespace(name="app"), max_head_bytes=MAX_HEAD_BYTES, ticker=SimpleNamespace(now=0.0),
    response_seconds=0.0, forget=lambda connection: None,
)  # fmt: skip


class Wire(asyncio.Transport):
    """Leads nowhere."""

    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...


def connect() -> Http1Connection:
    """A connection over a loop that has nothing to do: nobody waits here."""
    asyncio._set_running_loop(LOOP)
    try:
        return Http1Connection(POOL)
    finally:
        asyncio._set_running_loop(None)


def read(method: str, pieces: list[bytes]) -> tuple[object, ...]:
    """What comes of these pieces and of an orderly end behind them."""
    connection = connect()
    connection.connection_made(Wire())
    connection.begin(method)
    for piece in filter(None, pieces):
        connection.data_received(piece)
        if connection._error is not None:
            break
    is_usable = connection.is_usable
    connection.connection_lost(None)
    error = connection._error
    assert error is None or isinstance(error, UpstreamError), error
    assert not is_usable or (connection.is_complete and error is None)
    if not connection.is_head_done:
        return (type(error),)
    assert 200 <= connection.status <= 599
    assert not ENDS_HERE & {name for name, _ in connection.headers}
    assert not any(set(b"\r\n\0") & set(name + value) for name, value in connection.headers)
    body = b"".join(connection._chunks)
    assert not (method == "HEAD" and body)
    if connection.is_complete and connection._length >= 0:
        assert len(body) == connection._length or method == "HEAD"
    return connection.status, connection.headers, body, connection.is_complete, type(error)


def check(data: bytes) -> None:
    said, wire = lines(data, 2)
    method, cut = "HEAD" if b"H" in said else "GET", number(said, max(1, len(wire)))
    whole = read(method, [wire])
    assert read(method, [wire[:cut], wire[cut:]]) == whole
    if len(wire) <= 200:
        assert read(method, [bytes((byte,)) for byte in wire]) == whole
