"""Where the well-known ones stumble: each of these was seen in nginx, HAProxy or Caddy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.testing import CutShort, GatewayProcess, Origin, OriginConnection, SeenRequest, reply, wait_until

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
OK_HEAD = b"HTTP/1.1 200 OK\r\n"


def post(path: bytes, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


class Stale:
    """A script that answers the first request of a connection and ends it when the second comes.

    That is the race between a request and the close of an idle connection, made certain.
    """

    def __init__(self, end=OriginConnection.close) -> None:
        self.end = end
        self.served: set[int] = set()

    def __call__(self, connection: OriginConnection, request: SeenRequest) -> None:
        if connection.number in self.served:
            self.end(connection)
            return
        self.served.add(connection.number)
        connection.read_body(request)
        connection.send(reply(b"fresh"))


@pytest.fixture(scope="module")
def second_origin(module_origin) -> Origin:
    return module_origin()


@pytest.fixture(scope="module")
def closed_port() -> Iterator[str]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture(scope="module")
def single(module_gateway, shared_origin: Origin) -> GatewayProcess:
    """One endpoint and no retries at all."""
    return module_gateway(
        upstreams={"app": {"endpoints": [shared_origin], "retries": {"attempts": 1}}}, limits={"body_timeout": "5s"}
    )


@pytest.fixture(scope="module")
def double(module_gateway, shared_origin: Origin, second_origin: Origin, closed_port: str) -> GatewayProcess:
    """Two endpoints, and routes where the first endpoint refuses."""
    upstreams = {
        "pair": {"endpoints": [shared_origin, second_origin]},
        "refused": {"endpoints": [closed_port, second_origin]},
    }
    return module_gateway(
        upstreams=upstreams, routes=[{"match": {"path": f"/{name}"}, "upstream": name} for name in upstreams]
    )


@pytest.mark.parametrize("end", [OriginConnection.close, OriginConnection.reset])
def test_a_stale_connection_is_replaced_without_a_retry_being_spent(single, app, end):
    app.drop_connections()
    app.answer(Stale(end))
    for _ in range(20):
        assert single.get().body == b"fresh"


@pytest.mark.parametrize("method", [b"GET", b"POST", b"FOO"])
def test_a_connection_that_was_closed_while_idle_is_not_used(single, app, method):
    for _ in range(5):
        assert single.request(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").body == b"ok"
        app.drop_connections()


def test_many_stale_connections_at_once_lose_no_request(single, app):
    app.answer(Stale())
    clients = [single.connect() for _ in range(20)]
    try:
        for _ in range(3):
            for client in clients:
                client.send(GET)
            assert [client.read_response().body for client in clients] == [b"fresh"] * 20
    finally:
        for client in clients:
            client.close()


def test_a_post_over_a_stale_connection_is_not_sent_twice(single, app):
    app.drop_connections()
    app.answer(Stale())
    single.get()
    assert single.request(post(b"/pay", b"once")).status in (200, 502)
    assert len([seen for seen in app.requests if seen.target == b"/pay"]) == 1


def test_two_endpoints_with_stale_connections_lose_no_request(double, app, second_origin):
    first, second = Stale(), Stale()
    app.answer(first)
    second_origin.reset(second)
    for _ in range(10):
        assert double.get("/pair").body == b"fresh"
    assert app.requests


@pytest.mark.parametrize("size", [0, 4, 100_000, 1 << 20])
def test_a_post_moves_to_another_endpoint_after_a_refused_connect(double, second_origin, size):
    second_origin.reset(reply(b"moved"))
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert double.request(post(b"/refused", body)).body == b"moved"
    assert second_origin.last.body == body


def test_a_chunked_post_moves_to_another_endpoint_after_a_refused_connect(double, second_origin):
    second_origin.reset(reply(b"moved"))
    head = b"POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with double.connect() as client:
        client.send(head + b"5\r\nfirst\r\n")
        second_origin.wait_for_requests(1)
        client.send(b"4\r\nlast\r\n0\r\n\r\n")
        assert client.read_response().body == b"moved"
    assert second_origin.last.body == b"firstlast"


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"FOO"])
def test_an_unsafe_method_never_moves_after_a_byte_of_it_went_out(double, app, second_origin, method):
    app.drop_connections()
    app.answer(lambda connection, request: connection.reset())
    second_origin.reset()
    data = method + b" /pair HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    assert double.request(data).status == 502
    assert second_origin.requests == []


def test_connection_cannot_take_away_host_or_length_or_authority(site, app):
    lines = b"Connection: Host, Content-Length, X-Forwarded-For, Transfer-Encoding, x-gone\r\nX-Gone: 1\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n" + lines
    app.answer(OK_HEAD + b"Connection: content-length, x-gone\r\nX-Gone: 1\r\nContent-Length: 2\r\n\r\nok")
    response = site.request(head + b"\r\nbody")
    assert (response.body, response.content_length, response.header("x-gone")) == (b"ok", 2, None)
    assert app.last.header_all("host") == [b"a.example"]
    assert (app.last.body, app.last.content_length) == (b"body", 4)
    assert app.last.header_all("x-forwarded-for") == [b"127.0.0.1"]
    assert app.last.header("x-gone") is None


@pytest.mark.parametrize(
    "lines",
    [
        [b"Upgrade: websocket"],
        [b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13"],
        [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"],
        [b"Connection: upgrade", b"Upgrade: foo/2"],
        [b"Connection: upgrade"],
    ],
)
def test_an_upgrade_that_is_none_of_ours_is_not_passed_on(site, app, lines):
    assert site.get("/", *lines).body == b"ok"
    assert app.last.header("upgrade") is None
    assert app.last.header("http2-settings") is None
    assert b"upgrade" not in b",".join(app.last.header_all("connection")).lower()


def test_broken_chunking_after_the_head_was_forwarded_is_the_fault_of_the_client(site, app):
    ends: list[bytes] = []

    def read(connection: OriginConnection, request: SeenRequest) -> None:
        received = bytearray()
        while data := connection.receive():
            received += data
        ends.append(bytes(received))

    app.answer(read)
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        app.wait_for_requests(1)
        client.send(b"not a chunk\r\n\r\n")
        assert client.read_response().status == 400
    wait_until(lambda: ends)
    assert b"0\r\n\r\n" not in ends[0]
    app.answer(reply(b"healthy"))
    assert site.get().body == b"healthy"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 10\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
def test_an_upload_that_is_cut_never_looks_complete_to_the_origin(site, app, framing):
    cut: list[bool] = []

    def read(connection: OriginConnection, request: SeenRequest) -> None:
        try:
            connection.read_body(request)
        except (CutShort, ConnectionResetError):
            cut.append(True)
            connection.close()

    app.answer(read)
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
        app.wait_for_requests(1)
    wait_until(lambda: cut)


@pytest.mark.parametrize(
    "garbage", [b"zz\r\nhello\r\n", b"5\r\nhelloXX", b"5;\0\r\nhello\r\n-1\r\n", b"\r\n", b"5 5\r\nhello\r\n"]
)
def test_broken_chunking_of_a_response_never_gets_a_last_chunk_from_us(site, app, garbage):
    def send(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        connection.wait_for(passed.is_set)
        connection.send(garbage)
        connection.close()

    passed = threading.Event()
    app.answer(send)
    with site.connect() as client:
        client.send(GET)
        client.wire.take_until(b"abc")
        passed.set()
        assert b"\r\n0\r\n" not in client.read_until_closed()


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 5 5",
        b"Content-Length: 5x",
        b"Content-Length: 0x5",
        b"Content-Length:",
        b"Content-Length: 99999999999999999999999",
    ],
)
def test_a_garbled_length_of_a_response_is_502_or_the_frame_we_parsed(site, app, line):
    def send(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(OK_HEAD + line + b"\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    app.answer(send)
    response = site.get()
    assert response.status == 502 or (response.body, response.header_all("content-length")) == (b"hello", [b"5"])
    app.answer(reply(b"next"))
    assert site.get().body == b"next"


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip", b"foo", b"chunked, gzip", b"xchunked", b"identity"])
def test_an_unknown_transfer_coding_of_a_response_is_502(site, app, coding):
    def send(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(OK_HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        connection.close()

    app.answer(send)
    assert site.get().status == 502


def test_a_101_that_nobody_asked_for_is_502(site, app):
    app.answer(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nraw bytes")
    assert site.get().status == 502


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_body_after_a_status_that_has_none_is_dropped_with_its_connection(site, app, status):
    app.answer(
        b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    )
    with site.connect() as client:
        assert client.request(GET).status == int(status[:3])
        app.answer(reply(b"next"))
        assert client.request(GET).body == b"next"
    assert app.requests[0].connection != app.requests[1].connection


def test_a_body_after_the_answer_to_head_is_dropped_with_its_connection(site, app):
    app.answer(reply(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
    with site.connect() as client:
        assert client.request(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
        app.answer(reply(b"next"))
        assert client.request(GET).body == b"next"


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_an_http_1_0_client_never_gets_an_interim_response(site, app, interim):
    app.answer(b"HTTP/1.1 " + interim + b"\r\n\r\n" + reply(b"ok"))
    head = b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody"
    with site.connect() as client:
        response = client.request(head)
    assert (response.status, response.body, response.interim) == (200, b"ok", [])


@pytest.mark.parametrize("field", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_an_interim_response_that_announces_a_body_is_swallowed_or_refused(site, app, field):
    """RFC 9110 8.6 forbids the field, RFC 9112 6.3 ignores it; what follows is no body in either case."""
    workers = site.workers
    app.answer(b"HTTP/1.1 199 Odd\r\n" + field + b"\r\n\r\n" + reply(b"final"))
    response = site.get()
    assert response.status == 502 or (response.status, response.body) == (200, b"final")
    assert site.workers == workers


@pytest.mark.parametrize("rest", [b"", b"x" * 10])
def test_an_early_response_is_delivered_and_its_connection_not_used_again(site, app, rest):
    def refuse(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(reply(b"no", status=b"413 Content Too Large"))
        connection.wait_closed()

    app.answer(refuse)
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome")
        client.send(rest)
        response = client.read_response()
        assert (response.status, response.body) == (413, b"no")
    first = app.last.connection
    app.answer(reply(b"next"))
    assert site.get().body == b"next"
    assert app.last.connection != first


def test_an_early_response_reaches_a_client_that_is_still_sending(site, app):
    def refuse(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(reply(b"no", b"Connection: close", status=b"403 Forbidden"))
        connection.wait_closed()

    app.answer(refuse)
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(50_000))
        assert client.read_response().status == 403


@pytest.fixture(scope="module")
def impatient(module_gateway, shared_origin: Origin) -> GatewayProcess:
    """A gateway that waits no longer than 400 ms for a response head."""
    upstream = {"endpoints": [shared_origin], "timeouts": {"response": "400ms"}, "retries": {"attempts": 1}}
    return module_gateway(upstreams={"app": upstream})


def test_the_response_timeout_does_not_run_while_an_upload_makes_progress(impatient, app):
    with impatient.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        for byte in b"ten bytes":
            client.send(bytes((byte,)))
            assert client.is_quiet(0.12)
        client.send(b".")
        assert client.read_response().status == 200
    assert app.last.body == b"ten bytes."


def test_the_response_timeout_runs_once_the_upload_is_complete(impatient, app):
    app.answer(lambda connection, request: connection.wait_closed())
    with impatient.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo")
        app.wait_for_requests(1)
        client.send(b"dy")
        assert client.read_response().status == 504


@pytest.mark.parametrize("value", [b"\tv", b"v\t", b"\t v \t", b"v", b" v "])
def test_a_tab_is_white_space_around_a_value(site, app, value):
    app.answer(OK_HEAD + b"Content-Length:2\r\nX-Tab:" + value + b"\r\n\r\nok")
    response = site.get("/", b"X-Tab:" + value)
    assert app.last.header_all("x-tab") == [b"v"]
    assert response.header_all("x-tab") == [b"v"]
    assert b"x-tab: v\r\n" in response.raw.lower()
    assert response.body == b"ok"


@pytest.mark.parametrize("space", [b"\t", b" ", b" \t "])
def test_there_may_be_white_space_around_a_length(site, app, space):
    length = b"Content-Length:" + space + b"2" + space
    app.answer(OK_HEAD + length + b"\r\n\r\nok")
    response = site.request(b"POST / HTTP/1.1\r\nHost:" + space + b"a" + space + b"\r\n" + length + b"\r\n\r\nhi")
    assert (response.status, response.body) == (200, b"ok")
    assert (app.last.body, app.last.header_all("host")) == (b"hi", [b"a"])


@pytest.mark.parametrize("space", [b"\t", b" ", b" \t "])
def test_there_may_be_white_space_around_a_transfer_coding(impatient, app, space):
    coding = b"Transfer-Encoding:" + space + b"chunked" + space + b"\r\n\r\n"
    app.answer(OK_HEAD + coding + b"2\r\nok\r\n0\r\n\r\n")
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + coding
    assert impatient.request(head + b"2\r\nhi\r\n0\r\n\r\n", timeout=2).body == b"ok"
    assert app.last.body == b"hi"
