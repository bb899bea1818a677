"""Copies to a second upstream: they are the same request, and whatever becomes of them costs the client nothing."""

from __future__ import annotations

import json
import time

import pytest

from gateway.testing import Load, Origin, OriginConnection, SeenRequest, reply, wait_until


@pytest.fixture
def sides(origin) -> dict[str, Origin]:
    return {"app": origin(reply(b"app")), "shadow": origin(reply(b"shadow"))}


@pytest.fixture
def mirrored(gateway, sides):
    """A gateway whose route copies its requests to the shadow."""

    upstreams = {name: {"endpoints": [side.url]} for name, side in sides.items()}

    def start(route: dict[str, object] | None = None, **mirror: object):
        return gateway(
            plugins=["access-log", "request-id"],
            upstreams=upstreams,
            routes=[{"upstream": "app", "mirror": {"upstream": "shadow", **mirror}, **(route or {})}],
        )

    return start


def stall(connection: OriginConnection, request: SeenRequest) -> None:
    connection.stall()


def test_a_copy_is_the_same_request(mirrored, sides):
    site = mirrored()
    answer = site.get("/a%2Fb?x=1", headers={"X-Mine": "1", "Connection": "x-mine"})
    assert answer.body == b"app"
    (copy,) = sides["shadow"].wait_for_requests(1)
    (original,) = sides["app"].requests
    assert (copy.start_line, copy.headers) == (original.start_line, original.headers)
    assert copy.header_all("x-request-id") == answer.header_all("x-request-id")
    assert copy.header_all("x-forwarded-for") == [b"127.0.0.1"]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [1, 1000, 60_000])
def test_a_small_body_is_copied_with_its_length(mirrored, sides, is_chunked, size):
    body = b"a" * size
    framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    if not is_chunked:
        framed = b"Content-Length: %d\r\n\r\n%b" % (size, body)
    assert mirrored().request(b"POST /x HTTP/1.1\r\nHost: a.example\r\n" + framed).body == b"app"
    wait_until(lambda: sides["shadow"].requests and sides["shadow"].last.is_complete)
    copy = sides["shadow"].last
    assert (copy.start_line, copy.body) == (b"POST /x HTTP/1.1", body)
    assert copy.header_all("content-length") == [b"%d" % size]
    assert sides["app"].last.body == body


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_larger_body_is_not_copied_and_arrives_whole(mirrored, sides, is_chunked):
    body = b"a" * 5000
    framed = b"Transfer-Encoding: chunked\r\n\r\n1388\r\n%b\r\n0\r\n\r\n" % body
    if not is_chunked:
        framed = b"Content-Length: 5000\r\n\r\n" + body
    site = mirrored(max_body="4KiB")
    assert site.request(b"POST /x HTTP/1.1\r\nHost: a.example\r\n" + framed).body == b"app"
    assert sides["app"].last.body == body
    site.get("/after")
    assert [copy.target for copy in sides["shadow"].wait_for_requests(1)] == [b"/after"]


def test_a_rewritten_path_is_copied_rewritten(mirrored, sides):
    mirrored({"rewrite": {"prefix": "/internal"}}).get("/x")
    assert sides["shadow"].wait_for_requests(1)[0].target == b"/internal/x"


def test_what_a_plugin_refuses_is_not_copied(gateway, sides):
    guard = (
        "from gateway import Response, hookimpl\n\n"
        "class Guard:\n    @hookimpl\n    def on_request(self, exchange):\n"
        "        return Response(403) if exchange.request.path == '/no' else None\n"
    )
    upstreams = {name: {"endpoints": [side.url]} for name, side in sides.items()}
    routes = [{"upstream": "app", "mirror": "shadow"}]
    site = gateway(upstreams=upstreams, routes=routes, plugins=["./guard.py:Guard"], files={"guard.py": guard})
    assert [site.get(path).status for path in ("/no", "/yes")] == [403, 200]
    assert [copy.target for copy in sides["shadow"].wait_for_requests(1)] == [b"/yes"]


def test_a_share_of_the_requests_is_copied(mirrored, sides):
    site = mirrored(share=0.5)
    with site.connect() as client:
        for _ in range(400):
            assert client.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"app"
    wait_until(lambda: 120 < len(sides["shadow"].requests) < 280)


def test_a_copy_stands_in_no_record_of_the_original(mirrored, sides):
    site = mirrored()
    sides["shadow"].answer(reply(b"", status=b"500 Oops"))
    site.get("/x")
    sides["shadow"].wait_for_requests(1)
    wait_until(lambda: site.output.count("\n") == 1)
    line = json.loads(site.output)
    assert (line["status"], line["attempts"], line["endpoint"]) == (
        200,
        1,
        sides["app"].url.removeprefix("http://"),
    )
    assert "error" not in line or line["error"] is None


def test_a_connection_to_the_shadow_is_used_again_whatever_the_size_of_its_answers(mirrored, sides):
    site = mirrored()
    sides["shadow"].answer(reply(b"a" * 100_000))
    for count in range(1, 6):
        site.get("/")
        sides["shadow"].wait_for_requests(count)
        wait_until(lambda: "shadow" not in busy(site))
    assert sides["shadow"].opened == 1


def busy(site) -> set[str]:
    listed = json.loads(site.command("endpoints", "--json").stdout)
    return {item["upstream"] for item in listed if item["in_flight"]}


def test_an_answer_without_end_is_cut(mirrored, sides):
    ended: list[float] = []

    def endless(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                connection.send(b"a" * 65536)
        except OSError:
            ended.append(time.monotonic())
            raise

    sides["shadow"].answer(endless)
    assert mirrored().get("/").body == b"app"
    wait_until(lambda: ended)


def test_a_shadow_that_stalls_is_given_up_after_the_timeout(mirrored, sides):
    left: list[float] = []
    sides["shadow"].answer(lambda connection, request: left.append(connection.wait_closed()))
    assert mirrored(timeout="200ms").get("/").body == b"app"
    wait_until(lambda: left)


@pytest.mark.parametrize("trouble", ["dead", "slow", "stalled", "broken"])
def test_trouble_with_the_shadow_costs_no_request_under_load(mirrored, sides, trouble):
    if trouble == "dead":
        sides["shadow"].stop_listening()
    elif trouble == "stalled":
        sides["shadow"].answer(stall)
    elif trouble == "broken":
        sides["shadow"].answer(b"no HTTP\r\n\r\n")
    else:
        answer = reply(b"a" * 1000)
        sides["shadow"].answer(lambda connection, request: connection.trickle(answer, pieces=20, pause=0.05))
    site = mirrored(max_in_flight=8)
    with Load(("127.0.0.1", site.listening[0].port), connections=8) as load:
        load.wait_for(500, within=30)
    assert not load.lost
    assert sides["shadow"].open_now <= 8
    assert site.get("/").body == b"app"


def test_stopping_does_not_wait_for_copies(mirrored, sides):
    sides["shadow"].answer(stall)
    site = mirrored(timeout="1h")
    site.get("/")
    sides["shadow"].wait_for_requests(1)
    began = time.monotonic()
    assert site.stop() == 0
    assert time.monotonic() - began < 4, "drain_timeout is 5 s"


def test_a_reload_lets_no_copy_disturb_it(mirrored, sides):
    sides["shadow"].answer(stall)
    site = mirrored(timeout="1h")
    site.get("/")
    sides["shadow"].wait_for_requests(1)
    assert site.reload().returncode == 0
    sides["shadow"].answer(reply(b"shadow"))
    site.get("/after")
    wait_until(lambda: sides["shadow"].last.target == b"/after")
    assert "Traceback" not in site.log


def test_a_shadow_that_is_gone_is_left_alone_for_a_while(mirrored, sides):
    site = mirrored()
    sides["shadow"].close()
    for _ in range(30):
        assert site.get().body == b"app"
    shown = dict(line.rsplit(" ", 1) for line in site.command("metrics").stdout.splitlines())
    copied = int(shown['gateway_mirror_copied_total{upstream="shadow"}'])
    left_out = int(shown['gateway_mirror_left_out_total{upstream="shadow"}'])
    assert copied + left_out == 30
    assert left_out > 15
