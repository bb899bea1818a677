"""Passing on faithfully: what the client sent and what the origin said arrive as they were."""

from __future__ import annotations

import pytest

from gateway.testing import OriginConnection, SeenRequest, reply

ALL_BYTES = bytes(range(256)) * 16


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/a%2Fb",
        b"//double//slash//",
        b"/a/../b/./c",
        b"/..",
        b"/%2e%2e/%2E",
        b"/%00",
        b"/%ff%FE%c3%28",
        b"/a;p=1,2/b=c",
        b"/~user/(x)'!*$&+@:",
        b"/a|b^c{d}",
        b"/sp%20ace+plus",
        b"/?a=%2F&b=+&c",
        b"/?a=b?c=d??",
        b"/?%00%ff",
        b"/?//../..",
        b"/?a=[1]&b={2}|",
        b"/%",
        b"/%zz",
        b"/" + b"x" * 8000 + b"?" + b"y" * 4000,
    ],
)
def test_a_target_passes_byte_for_byte(site, app, target):
    assert site.request(b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % target).status == 200
    assert app.last.start_line == b"GET %b HTTP/1.1" % target


@pytest.mark.xfail(strict=True, reason="Granian's scope does not tell an empty query from none")
@pytest.mark.parametrize("target", [b"/?", b"/path?"])
def test_an_empty_query_keeps_its_question_mark(site, app, target):
    site.request(b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % target)
    assert app.last.target == target


def test_options_for_the_whole_server_keeps_its_asterisk(site, app):
    assert site.request(b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n").status == 200
    assert app.last.start_line == b"OPTIONS * HTTP/1.1"


@pytest.mark.parametrize("method", ["PURGE", "PROPFIND", "M-SEARCH", "FOO", "get", "X!#$%&'*+-.^_`|~1"])
def test_an_unknown_method_passes(site, app, method):
    assert site.request(f"{method} /x HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()).status == 200
    assert app.last.method == method


def test_request_header_values_pass_as_bytes_in_order_with_repeats(site, app):
    fields = [
        b"X-Bytes: \x80\xff caf\xc3\xa9",
        b"X-Repeat: one",
        b"X-Empty:",
        b"X-Repeat: two, three",
        b"X-Tab: a\tb",
        b'X-Quotes: "a\\"b"; x=\'y\'',
        b"Cookie: a=1",
        b"Cookie: b=2",
        b"X-Repeat: one",
    ]
    site.get("/", *fields)
    seen = app.last
    assert seen.header("x-bytes") == b"\x80\xff caf\xc3\xa9"
    assert seen.header_all("x-repeat") == [b"one", b"two, three", b"one"]
    assert seen.header_all("x-empty") == [b""]
    assert seen.header("x-tab") == b"a\tb"
    assert seen.header("x-quotes") == b'"a\\"b"; x=\'y\''
    assert b"; ".join(seen.header_all("cookie")) == b"a=1; b=2"
    firsts = [name for name in dict.fromkeys(seen.names) if name.startswith(b"x-") and b"forw" not in name]
    assert firsts[:5] == [b"x-bytes", b"x-repeat", b"x-empty", b"x-tab", b"x-quotes"]


def test_response_header_values_pass_as_bytes_in_order_with_repeats(site, app):
    app.answer(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-Bytes: \x80\xff\r\nX-Empty:\r\n"
        b"Set-Cookie: b=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\nX-Last: a,b\r\n\r\n"
    )
    response = site.get()
    expected = [b"a=1; Path=/", b"b=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]
    assert response.header_all("set-cookie") == expected
    assert response.header("x-bytes") == b"\x80\xff"
    assert response.header("x-empty") == b""
    assert response.header("x-last") == b"a,b"
    named = [name for name in dict.fromkeys(response.names) if name.startswith((b"x-", b"set-"))]
    assert named == [b"set-cookie", b"x-bytes", b"x-empty", b"x-last"]


def test_server_and_date_of_the_origin_are_kept_and_not_doubled(site, app):
    app.answer(reply(b"", b"Server: origin/1", b"Date: Thu, 01 Jan 1970 00:00:00 GMT"))
    response = site.get()
    assert response.header_all("server") == [b"origin/1"]
    assert response.header_all("date") == [b"Thu, 01 Jan 1970 00:00:00 GMT"]


def test_content_headers_and_location_pass_untouched(site, app):
    fields = [
        b"Location: //other.example/%2F?",
        b"Content-Encoding: gzip",
        b'ETag: W/"x"',
        b"Accept-Ranges: bytes",
        b"Content-Range: bytes 0-4/10",
        b"Vary: *",
    ]
    app.answer(reply(b"\x1f\x8b\x00\x01\x02", *fields, status=b"206 Partial Content"))
    response = site.get("/", b"Accept-Encoding: gzip", b"Range: bytes=0-4", b'If-Range: "x"')
    assert (response.status, response.body) == (206, b"\x1f\x8b\x00\x01\x02")
    for line in fields:
        name, _, value = line.partition(b": ")
        assert response.header(name) == value
    assert app.last.header("accept-encoding") == b"gzip"
    assert app.last.header("range") == b"bytes=0-4"
    assert app.last.header("if-range") == b'"x"'


@pytest.mark.parametrize("status", [200, 201, 207, 226, 299, 300, 308, 399, 402, 418, 421, 451, 499, 500, 511, 599])
def test_any_status_passes(site, app, status):
    app.answer(reply(b"body", status=b"%d Some Reason" % status))
    response = site.get()
    assert (response.status, response.body) == (status, b"body")


def test_a_status_line_without_a_reason_is_one(site, app):
    app.answer(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")
    assert site.get().body == b"ok"


@pytest.mark.parametrize("body", [b"", b"x", ALL_BYTES, ALL_BYTES * 17, bytes(1 << 20)], ids=len)
def test_bodies_with_a_length_pass_untouched_both_ways(site, app, body):
    app.answer(reply(body))
    response = site.request(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert app.last.body == body
    assert app.last.content_length == len(body)
    assert response.body == body
    assert response.content_length == len(body)


@pytest.mark.parametrize("pieces", [[], [b"x"], [ALL_BYTES, b"\r\n0\r\n\r\n"], [bytes(100_000)] * 10], ids=len)
def test_chunked_bodies_pass_untouched_both_ways(site, app, pieces):
    app.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*pieces))
    head = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = site.request(head + chunked(*pieces))
    assert app.last.body == b"".join(pieces)
    assert response.body == b"".join(pieces)


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PROPFIND"])
def test_a_method_that_seldom_has_a_body_may_have_one(site, app, method):
    site.request(f"{method} / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody".encode())
    assert (app.last.method, app.last.body) == (method, b"body")


def test_a_get_without_a_body_gets_no_framing(site, app):
    site.get()
    assert app.last.header("content-length") is None
    assert app.last.header("transfer-encoding") is None


def test_a_post_of_nothing_keeps_its_content_length_of_zero(site, app):
    site.request(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
    assert app.last.header_all("content-length") == [b"0"]
    assert app.last.header("transfer-encoding") is None


@pytest.mark.parametrize(
    ("method", "wire"),
    [
        ("HEAD", b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "e"\r\n\r\n'),
        ("HEAD", b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: "e"\r\n\r\n'),
        ("HEAD", b'HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nETag: "e"\r\n\r\n'),
        ("GET", b'HTTP/1.1 204 No Content\r\nETag: "e"\r\n\r\n'),
        ("DELETE", b'HTTP/1.1 204 No Content\r\nETag: "e"\r\n\r\n'),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n'),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "e"\r\n\r\n'),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\nETag: "e"\r\n\r\n'),
        ("HEAD", b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n'),
    ],
)
def test_a_response_without_a_body_ends_with_its_head(site, app, method, wire):
    app.answer(wire)
    with site.connect() as client:
        response = client.request(f"{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
        assert response.status == int(wire[9:12])
        assert response.header("etag") == b'"e"'
        opened = app.opened
        app.answer(reply(b"next"))
        assert client.request(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").body == b"next"
    assert app.opened == opened


def test_the_length_that_head_promises_is_kept(site, app):
    app.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n")
    response = site.request(b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert response.header_all("content-length") == [b"123456"]


def test_a_204_has_no_framing_at_all(site, app):
    app.answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
    response = site.get()
    assert response.header("content-length") is None
    assert response.header("transfer-encoding") is None


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        b"HTTP/1.1 199 Odd\r\nX-A: b\r\n\r\n",
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_an_interim_response_is_not_taken_for_the_response(site, app, interim, apart):
    def script(connection: OriginConnection, request: SeenRequest) -> None:
        if apart:
            connection.trickle(interim, pieces=3, pause=0.01)
            connection.send(reply(b"final"))
        else:
            connection.send(interim + reply(b"final"))

    app.answer(script)
    response = site.get()
    assert (response.status, response.body, response.interim) == (200, b"final", [])
    assert response.header("link") is None


def test_a_client_that_expects_100_continue_gets_ours_once(site, app):
    app.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"done"))
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.wire.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"body")
        response = client.read_response()
    assert (response.status, response.body, response.interim) == (200, b"done", [])
    assert app.last.body == b"body"


TRAILERS = pytest.mark.parametrize(
    "trailers", [b"X-Sum: 1\r\n", b"X-Sum: 1\r\nContent-Length: 9\r\nHost: evil\r\n"]
)


@TRAILERS
def test_trailers_of_a_request_never_become_body_or_header(site, app, trailers):
    head = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    with site.connect() as client:
        for _ in range(2):
            assert client.request(head + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n").status == 200
    assert [seen.body for seen in app.requests] == [b"hello", b"hello"]
    assert app.last.header_all("host") == [b"a.example"]
    assert app.last.header("x-sum") is None


@TRAILERS
def test_trailers_of_a_response_never_become_body_or_header(site, app, trailers):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    app.answer(head + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
    with site.connect() as client:
        for _ in range(2):
            response = client.request(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert response.body == b"hello"
            assert response.header("x-sum") is None


def test_a_response_of_an_http_1_0_origin_ends_with_its_connection(site, app):
    def script(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        connection.trickle(ALL_BYTES, pieces=4, pause=0.01)
        connection.close()

    app.answer(script)
    with site.connect() as client:
        for _ in range(2):
            assert client.request(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").body == ALL_BYTES


def test_an_http_1_0_client_never_gets_chunks(site, app):
    app.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello ", b"world"))
    with site.connect() as client:
        response = client.request(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
        assert client.is_closed_by_peer()
    assert not response.is_chunked
    assert response.body == b"hello world"
    assert app.last.start_line == b"GET / HTTP/1.1"


def test_connections_are_kept_on_both_sides(site, app):
    site.get()
    opened = app.opened
    with site.connect() as client:
        for number in range(5):
            assert client.request(b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % number).body == b"ok"
    assert app.opened == opened


def test_pipelined_requests_are_answered_in_order(site, app):
    def script(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(reply(request.target))

    app.answer(script)
    with site.connect() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % number for number in range(4)))
        assert [client.read_response().body for _ in range(4)] == [b"/0", b"/1", b"/2", b"/3"]
