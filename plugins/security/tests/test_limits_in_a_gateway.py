"""The plugin `limits` in a running gateway: what the client gets, and what an endpoint hears of it."""

from __future__ import annotations

import select

import pytest

LIMITS = {"max_body": "1KiB", "body_time": "500ms", "methods": ["GET", "POST"], "content_types": ["text/plain"]}
HEAD = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n%b\r\n\r\n"


@pytest.fixture(scope="module")
def app(module_origin):
    def answer(connection, request):
        connection.read_body(request)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return module_origin(answer)


@pytest.fixture(scope="module")
def site(module_gateway, app):
    routes = [
        {"match": {"path": "/large/"}, "upstream": "app", "plugins": {"limits": {"max_body": "1MiB"}}},
        {"match": {"path": "/"}, "upstream": "app"},
    ]
    return module_gateway(
        endpoints=[app], plugins=[{"use": "limits", **LIMITS}], routes=routes, limits={"body_timeout": "5s"}
    )


def test_a_body_within_the_limits_keeps_its_length(site, app):
    assert site.request(HEAD % (b"/", b"Content-Length: 4") + b"four").status == 200
    assert (app.last.header("content-length"), app.last.header("transfer-encoding")) == (b"4", None)


def test_a_body_that_is_announced_too_large_is_refused_before_an_endpoint_hears_of_it(site, app):
    before = len(app.requests)
    answer = site.request(HEAD % (b"/", b"Content-Length: 2000\r\nAccept: application/json"))
    assert answer.status == 413
    assert b'"error":"Content Too Large"' in answer.body
    assert len(app.requests) == before
    assert "limits: refused 127.0.0.1: body over 1024 bytes (POST '/', request " in site.log


def test_a_body_that_grows_too_large_is_refused(site):
    with site.connect() as client:
        client.send(HEAD % (b"/", b"Transfer-Encoding: chunked") + b"400\r\n" + bytes(1024) + b"\r\n")
        client.send(b"1\r\nx\r\n")
        assert client.read_response("POST").status == 413


def test_a_route_may_take_more(site):
    assert site.request(HEAD % (b"/large/x", b"Content-Length: 200000") + bytes(200_000)).status == 200


def test_a_body_that_takes_too_long_gets_408_though_each_byte_is_in_time(site):
    with site.connect() as client:
        client.send(HEAD % (b"/", b"Content-Length: 1000"))
        sent = 0
        while not select.select([client.socket], [], [], 0.05)[0]:
            client.send(b"x")
            sent += 1
        assert client.read_response("POST").status == 408
        assert client.is_closed_by_peer()
    assert 3 < sent < 100


def test_a_method_that_is_not_served_gets_405_with_those_that_are(site):
    answer = site.request(b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.header("allow")) == (405, b"GET, POST, HEAD")
    assert site.request(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


def test_a_body_of_another_type_gets_415(site):
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
    assert site.request(request).status == 415
