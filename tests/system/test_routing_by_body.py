"""Routes that look at the body: it is read before the route is known, and still reaches the endpoint whole."""

from __future__ import annotations

import json
import subprocess

import pytest

from gateway.testing import GatewayProcess, Origin, reply, require_program, wait_until

ROUTES = [
    {"match": {"path": "/json", "method": "POST", "json": {"user.plan": "gold"}}, "upstream": "gold"},
    {"match": {"path": "/text", "body": r"~<order id=\"\d+\""}, "upstream": "gold"},
    {"upstream": "app"},
]
GOLD = json.dumps({"user": {"plan": "gold", "name": "ř" * 50}}).encode()
TIN = GOLD.replace(b"gold", b"tin")
MATCHED = 16 << 10
LARGE = 1 << 20


@pytest.fixture(scope="module")
def sides(module_origin) -> dict[str, Origin]:
    return {name: module_origin() for name in ("gold", "app")}


@pytest.fixture(scope="module")
def site(module_gateway, sides, authority) -> GatewayProcess:
    issued = authority.issue("localhost")
    tls = {"cert": str(issued.cert), "key": str(issued.key)}
    return module_gateway(
        upstreams={name: {"endpoints": [side.url]} for name, side in sides.items()},
        listeners=[{"bind": "127.0.0.1:0"}, {"bind": "127.0.0.2:0", "tls": tls}],
        limits={"match_body": MATCHED, "max_body": LARGE, "body_timeout": "500ms"},
        routes=ROUTES,
    )


@pytest.fixture(autouse=True)
def fresh(sides):
    for name, side in sides.items():
        side.reset(reply(name.encode()))


def head(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: a.example", *fields, "", ""]).encode()


def with_length(target: str, body: bytes) -> bytes:
    return head(target, f"Content-Length: {len(body)}") + body


def chunked(target: str, body: bytes) -> bytes:
    size = max(7, len(body) // 100)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head(target, "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("framed", [with_length, chunked])
@pytest.mark.parametrize(
    ("target", "body", "name"),
    [
        ("/json", GOLD, "gold"),
        ("/json", TIN, "app"),
        ("/json", b"", "app"),
        ("/json", b"{", "app"),
        ("/json", GOLD + b" " * (MATCHED - len(GOLD)), "gold"),
        ("/json", GOLD + b" " * (MATCHED - len(GOLD) + 1), "app"),
        ("/json", GOLD + b" " * (LARGE - len(GOLD)), "app"),
        ("/text", b'<x/><order id="17"/>', "gold"),
        ("/text", b'<x/><order id=""/>', "app"),
        ("/other", GOLD, "app"),
    ],
)
def test_the_body_decides_and_arrives_whole(site, sides, target, body, name, framed):
    with site.connect() as client:
        assert client.request(framed(target, body)).body == name.encode()
    assert sides[name].last.body == body
    assert len(sides["gold"].requests) + len(sides["app"].requests) == 1


def test_without_a_body_the_next_route_is_taken(site):
    assert site.request(b"POST /json HTTP/1.1\r\nHost: a\r\n\r\n").body == b"app"
    assert site.get("/json").body == b"app"


def test_a_body_that_comes_in_pieces_is_waited_for(site, sides):
    with site.connect() as client:
        client.send(head("/json", f"Content-Length: {len(GOLD)}") + GOLD[:10])
        assert client.is_quiet(0.1)
        assert sides["gold"].requests == sides["app"].requests == []
        client.send(GOLD[10:])
        assert client.read_response("POST").body == b"gold"
    assert sides["gold"].last.body == GOLD


def test_what_is_over_the_bound_is_streamed_from_there_on(site, sides):
    with site.connect() as client:
        client.send(head("/json", "Transfer-Encoding: chunked"))
        client.send(b"%x\r\n%b\r\n" % (2 * MATCHED, b"a" * 2 * MATCHED))
        sides["app"].wait_for_requests(1)
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (MATCHED, b"b" * MATCHED))
        assert client.read_response("POST").body == b"app"
    assert sides["app"].last.body == b"a" * 2 * MATCHED + b"b" * MATCHED


def test_a_length_over_the_bound_is_not_waited_for(site, sides):
    with site.connect() as client:
        client.send(head("/json", f"Content-Length: {2 * MATCHED}") + b"a")
        sides["app"].wait_for_requests(1)
        client.send(b"a" * (2 * MATCHED - 1))
        assert client.read_response("POST").body == b"app"


def test_a_client_that_waits_for_100_gets_it(site):
    with site.connect() as client:
        client.send(head("/json", f"Content-Length: {len(GOLD)}", "Expect: 100-continue"))
        assert client.wire.take_head()[0] == b"HTTP/1.1 100 Continue"
        client.wire.forget()
        client.send(GOLD)
        assert client.read_response("POST").body == b"gold"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("/json", "Content-Length: 9") + b"{", 408),
        (head("/json", "Content-Length: 2000000"), 413),
        (head("/json", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_before_any_endpoint_is_asked(site, sides, data, status):
    assert site.request(data).status == status
    assert sides["gold"].requests == sides["app"].requests == []


def test_a_client_that_leaves_within_its_body_leaves_nothing(site, sides):
    with site.connect() as client:
        client.send(head("/json", "Content-Length: 9") + b"{")
        client.reset()
    assert site.get("/").body == b"app"
    wait_until(lambda: [request.target for request in sides["app"].requests] == [b"/"])
    assert sides["gold"].requests == []


def test_a_kept_connection_goes_on_after_it(site):
    with site.connect() as client:
        bodies = [client.request(data).body for data in (with_length("/json", GOLD), chunked("/json", TIN))]
        bodies.append(client.request(with_length("/text", GOLD)).body)
    assert bodies == [b"gold", b"app", b"app"]


def test_over_http_2_it_is_the_same(site, sides, authority):
    listening = site.listening[1]
    command = [require_program("curl"), "--silent", "--show-error", "--max-time", "10", "--http2", "--noproxy", "*"]
    command += ["--cacert", str(authority.cert), "--resolve", f"localhost:{listening.port}:{listening.host}"]
    command += ["--data-binary", "@-", "--write-out", "%{http_version}", f"https://localhost:{listening.port}/json"]
    for body, said in ((GOLD, b"gold2"), (TIN, b"app2")):
        done = subprocess.run(command, input=body, capture_output=True, timeout=30, check=False)
        assert (done.stdout, done.stderr) == (said, b"")
    assert (sides["gold"].last.body, sides["app"].last.body) == (GOLD, TIN)


def test_a_body_that_was_read_before_can_be_sent_to_another_endpoint(gateway, origin):
    refused, good = origin(), origin(reply(b"good"))
    upstream = {"endpoints": [refused.url, good.url]}
    refused.stop_listening()
    site = gateway(
        upstreams={"app": upstream}, routes=[{"match": {"json": {"user.plan": "gold"}}, "upstream": "app"}]
    )
    assert site.request(with_length("/", GOLD)).body == b"good"
    assert good.last.body == GOLD
