"""Refusing: what no gateway may pass on is answered here, and the origin hears nothing of it."""

from __future__ import annotations

import time

import pytest

from gateway.testing import CutShort, GatewayProcess, OriginConnection, SeenRequest, reply, wait_until

SITE = {
    "limits": {
        "max_body": "64KiB",
        "max_header": "8KiB",
        "max_uri": "2KiB",
        "body_timeout": "500ms",
        "body_rate": 0,
    },
    "listeners": [{"bind": "127.0.0.1:0", "header_timeout": "1s"}],
}
MAX_BODY = 64 << 10


def status_of(site: GatewayProcess, data: bytes) -> int:
    """The status of the answer, or 0 if the connection was closed without one."""
    try:
        return site.request(data).status
    except CutShort as cut:
        if cut.response is not None:
            raise
        return 0


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Host:\r\n",
        b"Host: \t \r\n",
        b"Host: a.example\r\nHost: a.example\r\n",
        b"Host: a.example\r\nhost: b.example\r\n",
        b"Host: a.example\r\nHost:\r\n",
        b"X-Host: a.example\r\n",
    ],
)
def test_a_host_that_is_missing_empty_or_repeated_is_refused(site, app, lines):
    assert status_of(site, b"GET / HTTP/1.1\r\n" + lines + b"\r\n") == 400
    assert app.requests == []


@pytest.mark.parametrize("line", [b"", b"Host:\r\n"])
def test_http_1_0_may_do_without_a_host_and_the_endpoint_gets_its_own(site, app, line):
    assert status_of(site, b"GET /health HTTP/1.0\r\n" + line + b"\r\n") == 200
    assert (app.last.start_line, app.last.header_all("host")) == (
        b"GET /health HTTP/1.1", [app.url.removeprefix("http://").encode()]
    )  # fmt: skip
    assert app.last.header("x-forwarded-host") is None


def test_a_host_of_http_1_0_has_to_be_one(site, app):
    assert status_of(site, b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n") == 400
    assert app.requests == []


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a.example b.example",
        b"a.example/path",
        b"a.example, b.example",
        b"user@a.example",
        b"a.example#x",
        b"a.example?x",
        b"a\\b",
        b"http://a.example",
        b"a\x01b",
        b"a\x7fb",
        b"a.example:port",
        b"a.example:80a",
        b"a.example:-1",
        b"a.example:99999",
        b"a.example:80:80",
        b":80",
        b"[::1",
        b"::1]",
        b"[]",
        b"[::1]x",
        b"[::1]:x",
        b"[a.example]",
        b"<a>",
        b'"a"',
    ],
)
def test_a_host_that_no_host_can_be_is_refused(site, app, host):
    assert status_of(site, b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host) == 400
    assert app.requests == []


@pytest.mark.parametrize(
    "host",
    [b"a.example", b"A.EXAMPLE:8080", b"a_b.example", b"a.example.", b"127.0.0.1:1", b"[::1]", b"[::1]:80", b"a"],
)
def test_a_host_that_is_one_passes(site, app, host):
    assert status_of(site, b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host) == 200
    assert app.last.header_all("host") == [host]


@pytest.mark.xfail(strict=True, reason="Granian's scope hides the authority where there is a Host")
def test_the_authority_of_an_absolute_target_wins_over_host(site, app):
    site.request(b"GET http://right.example:81/x?y HTTP/1.1\r\nHost: wrong.example\r\n\r\n")
    assert app.last.header_all("host") == [b"right.example:81"]
    assert app.last.target == b"/x?y"


def test_an_absolute_target_is_passed_on_in_origin_form(site, app):
    site.request(b"GET http://a.example/x%2F?y HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert app.last.target == b"/x%2F?y"
    assert app.last.header_all("host") == [b"a.example"]


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip,chunked", b"deflate, gzip, chunked", b"foo, chunked"])
def test_a_transfer_coding_but_chunked_is_not_implemented(site, app, coding):
    body = b"5\r\nhello\r\n0\r\n\r\n"
    assert status_of(site, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n" % coding + body) == 501
    assert app.requests == []


def test_transfer_codings_on_several_lines_are_one_list(site, app):
    lines = b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status_of(site, b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"0\r\n\r\n") == 501
    assert app.requests == []


@pytest.mark.parametrize("coding", [b"gzip", b"chunked, gzip", b"identity", b"chunked, chunked", b"xchunked", b"x"])
def test_a_body_whose_end_nobody_can_tell_is_refused(site, app, coding):
    """RFC 9112 6.3: 400; RFC 9112 6.1: 501 is as good for a coding that is not understood."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n" % coding
    assert status_of(site, head + body) in (400, 501)
    assert app.requests == []


@pytest.mark.parametrize(
    "line", [b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5"]
)
def test_two_framings_never_reach_the_origin(site, app, line):
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    with site.connect() as client:
        client.send(b"POST /first HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n0\r\n\r\n" + smuggled)
        answer = client.read_until_closed()
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"/smuggled" not in [seen.target for seen in app.requests]
    for seen in app.requests:
        framings = seen.header_all("content-length") + seen.header_all("transfer-encoding")
        assert framings in ([b"chunked"], [b"0"])
        assert seen.body == b""


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 6",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 0x5",
        b"Content-Length: 5 5",
        b"Content-Length: five",
        b"Content-Length:",
        b"Content-Length: 99999999999999999999999",
    ],
)
def test_a_length_that_is_none_is_refused(site, app, lines):
    assert status_of(site, b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\nhello") in (400, 0)
    assert app.requests == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET foo HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET / HTCPCP/1.1\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello tls\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(site, app, head):
    assert status_of(site, head) in (400, 505, 0)
    assert app.requests == []


def test_connect_to_an_authority_is_answered_with_405(site, app):
    assert status_of(site, b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n") == 405
    assert app.requests == []


def test_trace_is_not_allowed(site, app):
    response = site.request(b"TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n")
    assert response.status == 405
    assert b"secret" not in response.raw
    assert app.requests == []


def test_405_says_what_is_allowed(site, app):
    response = site.request(b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"GET" in (response.header("allow") or b"")  # RFC 9110 15.5.6


@pytest.mark.parametrize(
    "fields",
    [[b"X-Large: " + b"x" * 9000], [b"X-%d: %b" % (number, b"x" * 200) for number in range(50)]],
    ids=["one", "many"],
)
def test_a_header_block_over_the_limit_is_refused(site, app, fields):
    assert site.get("/", *fields).status == 431
    assert app.requests == []


def test_too_many_header_fields_are_refused(site, app):
    assert site.get("/", *[b"X-%d: x" % number for number in range(200)]).status == 431
    assert app.requests == []


def test_a_header_block_within_the_limit_passes(site, app):
    assert site.get("/", b"X-Large: " + b"x" * 7000).status == 200
    assert len(app.last.header("x-large")) == 7000


def test_a_target_over_the_limit_is_refused(site, app):
    assert site.get("/" + "x" * 3000).status == 414
    assert site.get("/?" + "x" * 3000).status == 414
    assert app.requests == []


def test_a_target_far_over_the_limit_is_refused(site, app):
    assert site.get("/" + "x" * 40_000).status in (414, 431)
    assert app.requests == []


def test_a_body_that_announces_too_much_is_refused_before_it_is_forwarded(site, app):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1)
    assert site.request(head).status == 413
    assert app.requests == []


def test_a_body_that_grows_too_large_is_refused_and_never_complete(site, app):
    chunk = b"1000\r\n" + bytes(0x1000) + b"\r\n"
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(chunk * 16)
        client.send(b"1\r\nx\r\n")
        assert client.read_response().status == 413
    wait_until(lambda: not app.requests or app.open_now == 0 or app.last.connection < app.opened)
    assert [seen for seen in app.requests if seen.is_complete] == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_of_exactly_the_limit_passes(site, app, framing):
    body = bytes(MAX_BODY)
    if framing == "length":
        data = b"Content-Length: %d\r\n\r\n" % MAX_BODY + body
    else:
        data = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (MAX_BODY, body)
    assert site.request(b"POST / HTTP/1.1\r\nHost: a\r\n" + data).status == 200
    assert app.last.body == body


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_a_body_that_stops_coming_times_out(site, app, framing):
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n5\r\nhe")
        started = time.monotonic()
        assert client.read_response().status == 408
        assert 0.3 < time.monotonic() - started < 2.5
    assert [seen for seen in app.requests if seen.is_complete] == []


@pytest.mark.parametrize(
    ("status", "start"),
    [
        (408, b"Host: a\r\nContent-Length: 50\r\n\r\nabc"),
        (408, b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        (413, b"Host: a\r\nContent-Length: %d\r\n\r\nabc" % (MAX_BODY + 1)),
        (413, b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + bytes(MAX_BODY + 1) + b"\r\n"),
        (400, b"Host: a b\r\nContent-Length: 50\r\n\r\nabc"),
        (400, b"Host: a b\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n"),
        (400, b"Host: a b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ],
)
def test_an_answer_before_the_end_of_a_body_ends_the_connection(site, app, status, start):
    with site.connect() as client:
        response = client.request(b"POST / HTTP/1.1\r\n" + start)
        assert (response.status, response.header("connection"), response.interim) == (status, b"close", [])
        assert client.is_closed_by_peer(within=0.8)


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 50", b"x" * 50),
        (b"Content-Length: 50000", b"x" * 50000),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
def test_a_connection_is_kept_if_a_body_that_nobody_asked_for_is_short(site, app, framing, body):
    refused = b"POST / HTTP/1.1\r\nHost: a b\r\n" + framing + b"\r\n\r\n"
    with site.connect() as client:
        for data in (refused + body, refused):
            client.send(data)
            if data is refused:
                client.send(body)
            response = client.read_response()
            assert (response.status, response.header("connection")) == (400, None)
        assert client.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


def test_an_early_answer_of_the_origin_costs_no_connection_if_the_request_was_whole(site, app):
    app.answer(lambda connection, request: connection.send(reply(b"early")))
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with site.connect() as client:
        for _ in range(20):
            response = client.request(head + b"3\r\nabc\r\n0\r\n\r\n")
            assert (response.body, response.header("connection")) == (b"early", None)


def test_a_body_that_comes_slowly_but_surely_does_not_time_out(site, app):
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        for byte in b"slo":
            client.send(bytes((byte,)))
            assert client.is_quiet(0.25)
        client.send(b"w")
        assert client.read_response().status == 200
    assert app.last.body == b"slow"


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: a\r\nX-", b"GE", b""])
def test_a_head_that_never_ends_is_given_up(site, app, start):
    with site.connect(timeout=4) as client:
        if start:
            client.send(start)
        answer = client.read_until_closed()
    assert answer == b"" or b" 408 " in answer.partition(b"\r\n")[0]
    assert app.requests == []


def test_an_idle_connection_is_closed(site, app):
    with site.connect() as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
        assert client.is_closed_by_peer(within=4)


def test_broken_chunking_that_came_with_the_head_is_refused(site, app):
    def read(connection: OriginConnection, request: SeenRequest) -> None:
        connection.wait_closed()
        connection.close()

    app.answer(read)
    for body in (b"zz\r\nhello\r\n", b"5\r\nhelloXX0\r\n\r\n", b"-1\r\n\r\n", b"fffffffffffffffff\r\n"):
        assert status_of(site, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body) == 400
    assert [seen for seen in app.requests if seen.is_complete] == []


def test_the_gateway_is_unharmed_by_what_it_refused(site, app):
    status_of(site, b"\0" * 100 + b"\r\n\r\n")
    assert site.get().body == b"ok"
    assert "Traceback" not in site.log
    assert "panicked" not in site.log
