"""Bodies that are files, and answers that a plugin gives only after it has waited."""

from __future__ import annotations

import hashlib
import os
import socket

import pytest

from gateway.testing import CutShort, reply, wait_until

MIB = 1 << 20

PLUGINS = """
import asyncio
from gateway import FileBody, OpenFile, Response, hookimpl


class Files:
    @hookimpl
    def on_request(self, exchange):
        path = exchange.request.raw_path.decode()
        if path == "/file":
            file = OpenFile("big")
            return Response(200, {"content-length": str(file.size)}, FileBody(file))
        if path == "/huge":
            return Response(200, {}, FileBody(OpenFile("huge/big")))
        if path == "/part":
            return Response(200, {"content-length": "1000"}, FileBody(OpenFile("big"), 5, 1000))


class Slow:
    @hookimpl
    def on_request(self, exchange):
        if exchange.request.raw_path.startswith(b"/slow"):
            return self._answer(exchange)

    async def _answer(self, exchange):
        await asyncio.sleep(0)
        if exchange.request.raw_path == b"/slow/none":
            return None
        if exchange.request.raw_path == b"/slow/fails":
            raise RuntimeError("oops")
        return Response(200, body="waited")


class Marking:
    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.set("x-behind", "yes")

    @hookimpl
    def on_response(self, exchange, response):
        response.headers.set("x-behind", "yes")
"""


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(MIB) * 24


@pytest.fixture(scope="module")
def site(module_gateway, shared_origin, tmp_path_factory, content):
    site = module_gateway(
        endpoints=[shared_origin],
        workers=1,
        plugins=["./hooks.py:Files", "./hooks.py:Slow", "./hooks.py:Marking"],
        files={"hooks.py": PLUGINS},
    )
    (site.directory / "big").write_bytes(content)
    return site


def descriptors(site) -> int:
    (worker,) = site.workers
    folder = f"/proc/{worker}/fd"
    return sum("/big" in os.readlink(f"{folder}/{name}") for name in os.listdir(folder))


def open_files(site) -> int:
    try:
        return descriptors(site)
    except FileNotFoundError:  # one was closed while we looked
        return -1


def test_a_whole_file_arrives_as_it_is_and_is_closed(site, content):
    for _ in range(3):
        answer = site.get("/file")
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content).digest()
    wait_until(lambda: open_files(site) == 0)


def test_a_part_of_a_file_arrives(site, content):
    assert site.get("/part").body == content[5:1005]


def test_a_client_that_leaves_in_the_middle_of_a_file_leaves_nothing_open(site):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(1000)
    wait_until(lambda: open_files(site) == 0)


def test_the_rest_of_a_huge_file_is_not_read_for_a_client_that_left(site):
    huge = site.directory / "huge/big"
    huge.parent.mkdir()
    huge.touch()
    os.truncate(huge, 1 << 40)
    with socket.create_connection(("127.0.0.1", site.port)) as client:
        client.sendall(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(1000)
    wait_until(lambda: open_files(site) == 0)
    assert site.get("/part").status == 200


def test_a_file_that_became_shorter_cuts_the_response_and_is_closed(site, content):
    with site.connect(receive_buffer=8192) as client:
        client.send(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: open_files(site) == 1)
        os.truncate(site.directory / "big", MIB)
        with pytest.raises(CutShort):
            client.read_response()
    wait_until(lambda: open_files(site) == 0)
    (site.directory / "big").write_bytes(content)


def test_a_connection_carries_another_request_after_a_file(site):
    with site.connect() as client:
        assert len(client.request(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n").body) == 24 * MIB
        assert client.request(b"GET /part HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


def test_an_answer_that_was_waited_for_is_given(site):
    answer = site.get("/slow/answer")
    assert (answer.status, answer.body) == (200, b"waited")
    assert answer.header("x-behind") is None


def test_who_waits_and_says_nothing_lets_those_behind_go_on(site, app):
    app.answer(reply(b"from the origin"))
    answer = site.get("/slow/none")
    assert (answer.body, answer.header("x-behind")) == (b"from the origin", b"yes")
    assert app.requests[-1].header("x-behind") == b"yes"


def test_a_wait_that_fails_is_500(site):
    assert site.get("/slow/fails").status == 500
    site.wait_for_log("plugin 'Slow' failed in on_request: RuntimeError('oops')")
