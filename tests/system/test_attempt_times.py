"""What an attempt says of its times, once it has ended: to the head of the response, and to its end."""

from __future__ import annotations

import threading
from pathlib import Path

import orjson
import pytest

from gateway.testing import reply, wait_until

PLUGIN = """
import orjson

from gateway import hookimpl


class Times:
    @hookimpl
    def on_attempt(self, exchange, attempt):
        with open(FILE, "wb") as file:
            file.write(orjson.dumps([attempt.started, attempt.answered, attempt.ended]))
"""


@pytest.fixture
def times(gateway, tmp_path: Path):
    """`times(origin)`: a gateway in front of it, and a function that waits for the times of its one attempt."""

    def start(origin):
        file = tmp_path / "times.json"
        plugin = tmp_path / "times.py"
        plugin.write_text(f"FILE = {str(file)!r}\n{PLUGIN}")
        site = gateway(endpoints=[origin], plugins=[f"{plugin}:Times"])

        def read() -> tuple[float, float, float]:
            wait_until(lambda: file.exists() and file.stat().st_size > 0)
            return tuple(orjson.loads(file.read_bytes()))

        return site, read

    return start


def test_the_head_of_a_response_that_comes_in_pieces_has_a_time_of_its_own(origin, times):
    has_head = threading.Event()

    def in_pieces(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        connection.wait_for(has_head.is_set)
        connection.send(b"world")

    site, read = times(origin(in_pieces))
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.receive().startswith(b"HTTP/1.1 200")
        has_head.set()
        started, answered, ended = read()
    assert started < answered < ended


def test_one_that_comes_at_once_has_none(origin, times):
    site, read = times(origin(reply(b"hello")))
    assert site.get().body == b"hello"
    started, answered, ended = read()
    assert answered == 0
    assert started < ended
