"""When things break: what the client gets for each way in which an upstream can fail."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gateway.testing import CutShort, GatewayProcess, Origin, OriginConnection, SeenRequest, reply, wait_until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture(scope="module")
def closed_port() -> Iterator[str]:
    """An endpoint that refuses: the port is taken, but nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture(scope="module")
def spare(module_origin) -> Origin:
    return module_origin()


@pytest.fixture(scope="module")
def third(module_origin) -> Origin:
    return module_origin()


@pytest.fixture(scope="module")
def troubled(
    module_gateway, shared_origin: Origin, spare: Origin, third: Origin, closed_port: str, black_hole: str
) -> GatewayProcess:
    """One gateway with an upstream, and a route, for each kind of trouble."""
    quick = {"connect": "300ms", "response": "400ms", "idle": "400ms"}
    upstreams = {
        "refused": {"endpoints": [closed_port]},
        "refused-first": {"endpoints": [closed_port, spare]},
        "silent": {"endpoints": [black_hole], "timeouts": quick, "retries": {"attempts": 1}},
        "silent-first": {"endpoints": [black_hole, spare], "timeouts": quick},
        "slow": {"endpoints": [shared_origin], "timeouts": quick, "retries": {"attempts": 1}},
        "busy": {
            "endpoints": [shared_origin],
            "pool": {"max_connections": 1, "queue": 1, "queue_timeout": "200ms"},
        },
        "three": {"endpoints": [shared_origin, spare, third], "retries": {"attempts": 3, "budget": 1}},
        "twice": {"endpoints": [shared_origin, spare, third], "retries": {"attempts": 2, "budget": 1}},
        "thrifty": {"endpoints": [shared_origin, spare, third], "retries": {"budget": 0.2}},
        "total": {"endpoints": [shared_origin], "timeouts": {"total": "500ms"}, "retries": {"attempts": 1}},
    }
    routes = [{"match": {"path": f"/{name}/"}, "upstream": name} for name in upstreams]
    return module_gateway(upstreams=upstreams, routes=routes)


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_no_free_connection_is_503_with_retry_after(troubled, app):
    app.answer(lambda connection, request: connection.stall())
    with troubled.connect() as first, troubled.connect() as second:
        first.send(b"GET /busy/ HTTP/1.1\r\nHost: a\r\n\r\n")
        app.wait_for_requests(1)
        started = time.monotonic()
        response = second.request(b"GET /busy/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (response.status, time.monotonic() - started < 2) == (503, True)
        assert int(response.header("retry-after")) >= 0
        app.answer(reply(b"at last"))
        app.drop_connections()


def test_a_request_waits_for_a_free_connection(troubled, app):
    app.answer(lambda connection, request: connection.trickle(reply(b"ok"), pieces=2, pause=0.03))
    with troubled.connect() as first, troubled.connect() as second:
        for client in (first, second):
            client.send(b"GET /busy/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert first.read_response().status == second.read_response().status == 200
    assert len({seen.connection for seen in app.requests}) == 1


def test_a_refused_connection_is_502_when_no_endpoint_is_left(troubled):
    assert troubled.get("/refused/").status == 502


@pytest.mark.parametrize("upstream", ["refused-first", "silent-first"])
def test_a_connection_that_fails_moves_to_the_next_endpoint(troubled, spare, upstream):
    spare.reset(reply(b"spare"))
    assert troubled.get(f"/{upstream}/").body == b"spare"
    assert troubled.request(post(f"/{upstream}/", b"body")).body == b"spare"
    assert [seen.body for seen in spare.requests] == [b"", b"body"]


def test_a_connection_that_times_out_is_504_when_no_endpoint_is_left(troubled):
    started = time.monotonic()
    assert troubled.get("/silent/").status == 504
    assert 0.2 < time.monotonic() - started < 2


def test_no_response_head_in_time_is_504_and_the_attempt_is_cancelled(troubled, app):
    left: list[float] = []
    app.answer(lambda connection, request: left.append(connection.wait_closed()))
    started = time.monotonic()
    assert troubled.get("/slow/").status == 504
    answered = time.monotonic()
    assert 0.3 < answered - started < 2
    wait_until(lambda: left)
    assert left[0] - answered < 1


def test_half_a_response_head_is_no_response_head(troubled, app):
    def half(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-")
        connection.wait_closed()

    app.answer(half)
    assert troubled.get("/slow/").status == 504


def test_a_body_that_stops_coming_cuts_the_connection(troubled, app):
    def stop(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(HEAD + b"half")
        connection.wait_closed()

    app.answer(stop)
    with pytest.raises(CutShort) as cut:
        troubled.get("/slow/", timeout=3)
    assert cut.value.response.body == b"half"


def test_the_total_time_is_bounded_if_so_configured(troubled, app):
    app.answer(lambda connection, request: connection.wait_closed())
    started = time.monotonic()
    assert troubled.get("/total/").status == 504
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"220 smtp.example ESMTP\r\n\r\n",
        b"HTTP/1.1200 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 abc Word\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 -200 Minus\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\0c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n: empty\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_a_malformed_response_head_is_502(site, app, wire):
    def send(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(wire)
        connection.close()

    app.answer(send)
    response = site.get()
    assert response.status == 502
    app.answer(reply(b"next"))
    assert site.get().body == b"next"


@pytest.mark.parametrize("status", [600, 700, 999])
def test_a_status_out_of_range_is_502_or_passes_but_never_kills(site, app, status):
    """RFC 9110 15: three digits; what is out of 100 to 599 is treated as a 5xx."""
    workers = site.workers
    app.answer(reply(b"odd", status=b"%d Odd" % status))
    assert site.get().status in (502, status)
    assert site.workers == workers


def test_a_response_head_that_never_ends_is_502(site, app):
    def endless(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(200_000):
            connection.send(b"X-%d: %b\r\n" % (number, b"x" * 100))

    app.answer(endless)
    assert site.get().status == 502


@pytest.mark.parametrize("end", [OriginConnection.close, OriginConnection.reset])
@pytest.mark.parametrize(
    ("wire", "came"),
    [
        (HEAD + b"half", b"half"),
        (HEAD, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"half"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n5\r\nun", b"half"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", b"half"),
    ],
    ids=["length", "length-no-byte", "chunked", "chunked-in-a-chunk", "chunked-before-the-last-line"],
)
def test_an_upstream_that_dies_within_the_body_cuts_the_client(site, app, wire, came, end):
    def die(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(wire)
        if came:
            connection.wait_for(passed.is_set)
        end(connection)

    passed = threading.Event()
    app.answer(die)
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if came:
            client.wire.take_until(came)
        passed.set()
        rest = client.read_until_closed()
    assert b"0\r\n\r\n" not in rest
    assert came or rest == b"" or b" 502 " in rest.partition(b"\r\n")[0] or rest.startswith(b"HTTP/1.1 200")
    assert len(app.requests) == 1 if came else app.requests


def test_a_body_that_ends_with_its_connection_is_cut_by_a_reset(site, app):
    def die(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        connection.wait_for(passed.is_set)
        connection.reset()

    passed = threading.Event()
    app.answer(die)
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.wire.take_until(b"half")
        passed.set()
        assert b"0\r\n\r\n" not in client.read_until_closed()


def test_more_bytes_than_promised_are_dropped_with_their_connection(site, app):
    app.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    with site.connect() as client:
        for _ in range(3):
            assert client.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"ok"
    assert len({seen.connection for seen in app.requests}) == 3


def test_bytes_that_nobody_asked_for_are_not_the_next_response(site, app):
    app.answer(reply(b"ok"))
    site.get()
    app.answer(lambda connection, request: connection.trickle(reply(b"ok") + reply(b"evil"), pieces=2, pause=0.02))
    for _ in range(3):
        assert site.get().body in (b"ok",)


@pytest.mark.parametrize("moment", ["before the head", "within the body", "within the upload"])
def test_a_client_that_leaves_cancels_the_attempt_within_a_second(site, app, moment):
    left: list[float] = []

    def serve(connection: OriginConnection, request: SeenRequest) -> None:
        if moment == "within the body":
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        left.append(connection.wait_closed())

    app.answer(serve)
    with site.connect() as client:
        length = b"10" if moment == "within the upload" else b"0"
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n")
        client.send(b"some" if moment == "within the upload" else b"")
        app.wait_for_requests(1)
        if moment == "within the body":
            client.wire.take_until(b"half")
    went = time.monotonic()
    wait_until(lambda: left, message="the upstream connection stayed open")
    assert left[0] - went < 1


@pytest.fixture
def three(app: Origin, spare: Origin, third: Origin) -> list[Origin]:
    """Three endpoints that read a request and close without a word."""

    def close(connection: OriginConnection, request: SeenRequest) -> None:
        connection.read_body(request)
        connection.close()

    for endpoint in (app, spare, third):
        endpoint.reset(close)
        endpoint.drop_connections()
    return [app, spare, third]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_is_repeated_while_no_byte_came_back(troubled, three, method):
    three[2].answer(reply(b"" if method == "HEAD" else b"lucky"))
    body = b"body" if method == "PUT" else b""
    head = f"{method} /three/ HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    assert troubled.request(head.encode() + body).status == 200
    assert [(seen.method, seen.body) for endpoint in three for seen in endpoint.requests] == [(method, body)] * 3


@pytest.mark.parametrize("method", ["POST", "PATCH", "FOO"])
def test_another_request_is_not_repeated_once_it_went_out(troubled, three, method):
    data = f"{method} /three/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody".encode()
    assert troubled.request(data).status == 502
    assert [len(endpoint.requests) for endpoint in three] == [1, 0, 0]


def test_nothing_is_repeated_once_a_byte_came_back(troubled, three):
    def half(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nCont")
        connection.close()

    three[0].answer(half)
    assert troubled.get("/three/").status == 502
    assert [len(endpoint.requests) for endpoint in three] == [1, 0, 0]


@pytest.mark.parametrize(("path", "attempts"), [("/three/", [1, 1, 1]), ("/twice/", [1, 1, 0])])
def test_retries_stop_at_a_count(troubled, three, path, attempts):
    assert troubled.get(path).status == 502
    assert [len(endpoint.requests) for endpoint in three] == attempts


def test_retries_stop_at_a_share_of_the_live_traffic(troubled, three):
    with troubled.connect() as client:
        for _ in range(200):
            assert client.request(b"GET /thrifty/ HTTP/1.1\r\nHost: a\r\n\r\n").status == 502
    assert 200 < sum(len(endpoint.requests) for endpoint in three) < 300


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (b"application/json", b"application/json"),
        (b"text/html,application/xhtml+xml,*/*;q=0.8", b"text/html"),
        (b"text/plain", b"text/plain"),
        (b"*/*", b"text/plain"),
        (b"application/problem+json, application/json;q=0.9", b"application/"),
    ],
)
def test_an_error_of_ours_follows_accept_and_says_nothing_of_the_inside(troubled, accept, kind):
    response = troubled.get("/refused/", b"Accept: " + accept)
    assert response.header("content-type").startswith(kind)
    assert len(response.body) < 2048
    assert b"127.0.0.1" not in response.body
    assert b"refused" not in response.body.lower().replace(b"/refused/", b"")
    assert b"Traceback" not in response.body
    if b"json" in kind:
        assert json.loads(response.body)


def test_an_error_of_ours_does_not_name_the_server_underneath(troubled):
    assert b"granian" not in troubled.get("/refused/").raw.lower()


def test_an_error_of_ours_carries_a_request_id_that_the_log_has_too(troubled):
    response = troubled.get("/refused/", b"Accept: application/json")
    found = re.findall(rb"\b[0-9a-f]{16,32}\b", response.raw)
    assert found
    wait_until(lambda: found[0].decode() in troubled.log + troubled.output)


def test_a_head_request_gets_an_error_without_a_body(troubled: GatewayProcess):
    with troubled.connect() as client:
        head = b"HEAD /refused/ HTTP/1.1\r\nHost: a\r\n\r\n"
        assert client.request(head).status == 502
        assert client.request(head).status == 502
