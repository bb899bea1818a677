"""Answers of plugins that arrive piece by piece: what cannot be sent is cut and named, and HEAD reads nothing."""

from __future__ import annotations

import json

import pytest

from gateway.testing import reply, wait_until

PLUGINS = r"""
from gateway import Response, hookimpl

async def pieces(exchange, *given):
    try:
        for piece in given:
            yield piece
    finally:
        print("ended", exchange.request.method, flush=True)

GIVEN = {
    "/good": (b"one ", b"two"), "/text": (b"one ", "two"), "/nothing": (b"one ", None), "/short": (b"one",),
    "/long": (b"one", b"two and more"),
}

class Streams:
    @hookimpl
    def on_request(self, exchange):
        path = exchange.request.path
        if path == "/user":
            exchange.user = 5
        if path not in GIVEN and path != "/whole":
            return None
        if path == "/whole":
            return Response(200, {}, b"one two")
        fields = {"content-length": "7"} if path in ("/short", "/long") else {}
        return Response(200, fields, pieces(exchange, *GIVEN[path]))
"""

PLUGINS += r"""
    @hookimpl
    async def on_response(self, exchange, response):
        if exchange.request.path.startswith("/upper"):
            response.body = (await response.read()).upper()

    @hookimpl
    def wrap_response_body(self, exchange, body):
        return self.fail(body) if exchange.request.path == "/fails" else None

    async def fail(self, body):
        async for piece in body:
            yield piece
            raise RuntimeError("in the midst")
"""

SITE = {
    "plugins": [
        {"use": "access-log", "batch": 1, "fields": ["method", "target", "user", "bytes_out", "error"]},
        "./streaming.py:Streams",
    ],
    "files": {"streaming.py": PLUGINS},
}


def logged(site, method: str, path: str) -> dict[str, object]:
    """The line that the access log has for a request."""

    def lines():
        records = [json.loads(line) for line in site.output.splitlines() if line.startswith("{")]
        return [record for record in records if (record["method"], record["target"]) == (method, path)]

    wait_until(lines, within=5, message="no line in the access log")
    return lines()[0]


def test_it_is_sent_piece_by_piece(site):
    answer = site.get("/good")
    assert (answer.body, answer.is_chunked) == (b"one two", True)
    assert logged(site, "GET", "/good")["bytes_out"] == 7


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/text", "plugin 'Streams' gave 'two' as a piece of a response's body: it is bytes (text.encode())"),
        ("/nothing", "plugin 'Streams' gave None as a piece of a response's body: it is bytes"),
        ("/short", "plugin 'Streams' announced content-length 7 for a body of 3 bytes"),
    ],
)
def test_what_cannot_be_sent_is_cut_and_the_plugin_named(site, path, said):
    with site.connect() as client:
        client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        received = client.read_until_closed()
    assert not received.endswith(b"0\r\n\r\n")
    site.wait_for_log(said)
    assert logged(site, "GET", path)["error"]


def test_what_is_longer_than_announced_ends_there_and_the_plugin_is_named(site):
    assert site.get("/long").body == b"onetwo "
    site.wait_for_log("plugin 'Streams' announced content-length 7 for a body of 15 bytes")


@pytest.mark.parametrize("path", ["/good", "/whole", "/text"])
def test_head_reads_and_sends_nothing_of_it(site, path):
    head = b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode()
    with site.connect() as client:
        for _ in range(2):  # the second tells that nothing followed the first
            client.send(head)
            assert client.read_response("HEAD").status == 200
    record = logged(site, "HEAD", path)
    assert (record["bytes_out"], record["error"]) == (0, None)
    assert "ClientDisconnected" not in site.log


@pytest.mark.parametrize("parts", [[b"some text"], [b"some", b" text"]], ids=["whole", "in parts"])
def test_the_body_of_a_response_is_read_and_changed_however_it_arrives(site, app, parts):
    def answer(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" if len(parts) > 1 else b"")
        for part in parts if len(parts) > 1 else [reply(parts[0])]:
            connection.send(part)

    app.answer(answer)
    for _ in range(5):
        answer_seen = site.get("/upper")
        assert (answer_seen.status, answer_seen.body, answer_seen.content_length) == (200, b"SOME TEXT", 9)


def test_a_body_that_fails_in_its_midst_is_an_error_in_the_access_log(site):
    with site.connect() as client:
        client.send(b"GET /fails HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until_closed()
    assert logged(site, "GET", "/fails")["error"]


def test_a_user_that_is_no_text_costs_no_line_of_the_access_log(site):
    assert site.get("/user").status == 200
    assert logged(site, "GET", "/user")["user"] == "5"
