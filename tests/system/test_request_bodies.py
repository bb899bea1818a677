"""Plugins that read a request's body: it is still forwarded, or it is said why it cannot be."""

from __future__ import annotations

import pytest

from gateway.testing import reply

PLUGINS = """
from gateway import Response, hookimpl


class Reads:
    @hookimpl
    async def on_request(self, exchange):
        if exchange.request.raw_path == b"/spent":
            async for piece in exchange.request.body:
                pass
        else:
            exchange.request.headers.set("x-read", str(len(await exchange.request.read(1000))))
            assert await exchange.request.read() == await exchange.request.read()
"""

POST = b"POST %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b"


@pytest.fixture(scope="module")
def app(module_origin):
    def answer(connection, request):
        connection.send(reply(connection.read_body(request)))

    return module_origin(answer)


@pytest.fixture(scope="module")
def site(module_gateway, app):
    return module_gateway(endpoints=[app], plugins=["./reading.py:Reads"], files={"reading.py": PLUGINS})


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        (b"Content-Length: 7", b"one two"),
        (b"Transfer-Encoding: chunked", b"3\r\none\r\n4\r\n two\r\n0\r\n\r\n"),
    ],
)
def test_what_a_plugin_has_read_is_forwarded(site, app, fields, sent):
    answer = site.request(POST % (b"/", fields, sent))
    assert (answer.status, answer.body, app.last.header("x-read")) == (200, b"one two", b"7")


def test_a_body_that_is_longer_than_a_plugin_reads_is_refused(site):
    assert site.request(POST % (b"/", b"Content-Length: 2000", bytes(2000))).status == 413


def test_a_request_without_a_body_is_read_as_empty(site, app):
    assert site.get("/").status == 200
    assert app.last.header("x-read") == b"0"


@pytest.mark.parametrize(
    ("fields", "sent"),
    [(b"Content-Length: 3", b"one"), (b"Transfer-Encoding: chunked", b"3\r\none\r\n0\r\n\r\n")],
)
def test_a_body_that_a_plugin_leaves_nothing_of_is_an_error_that_names_the_mend(site, app, fields, sent):
    before = len(app.requests)
    assert site.request(POST % (b"/spent", fields, sent)).status == 500
    assert "`await exchange.request.read()` leaves it there" in site.log
    assert len(app.requests) == before
