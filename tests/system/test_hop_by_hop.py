"""Ending at this hop: what belongs to one connection is not passed on, and the forwarding headers are ours."""

from __future__ import annotations

import pytest

from gateway.testing import GatewayProcess, Origin, reply

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
SPOOFED = b"203.0.113.9"


@pytest.fixture(scope="module")
def behind_proxies(module_gateway, shared_origin: Origin) -> GatewayProcess:
    """The same site, believing what 127.0.0.0/8 says of its clients."""
    return module_gateway(endpoints=[shared_origin], trusted_proxies=["127.0.0.0/8"])


@pytest.fixture(scope="module")
def hosts(module_gateway, shared_origin: Origin) -> GatewayProcess:
    """Three upstreams that differ in the Host they send."""
    settings = {"keep": "keep", "endpoint": "endpoint", "literal": "inner.example:81"}
    return module_gateway(
        upstreams={name: {"endpoints": [shared_origin], "host": host} for name, host in settings.items()},
        routes=[{"match": {"path": f"/{name}"}, "upstream": name} for name in settings],
    )


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: keep-alive",
        b"Keep-Alive: timeout=5",
        b"TE: trailers, deflate",
        b"Trailer: X-Sum",
        b"Upgrade: foo",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Authorization: Basic eDp5",
        b"pRoXy-aUtHoRiZaTiOn: Basic eDp5",
    ],
)
def test_a_hop_by_hop_field_of_a_request_goes_no_further(site, app, line):
    assert site.get("/", line, b"X-Kept: 1").status == 200
    assert app.last.header(line.partition(b":")[0]) is None
    assert app.last.header("x-kept") == b"1"


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: keep-alive",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Trailer: X-Sum",
        b"Upgrade: h2c, foo",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Authorization: Basic eDp5",
    ],
)
def test_a_hop_by_hop_field_of_a_response_goes_no_further(site, app, line):
    app.answer(reply(b"ok", line, b"X-Kept: 1"))
    response = site.get()
    assert (response.status, response.body, response.header("x-kept")) == (200, b"ok", b"1")
    name, _, value = line.partition(b": ")
    assert value not in response.header_all(name)


@pytest.mark.parametrize(
    "lines",
    [
        [b"Connection: x-private, X-Other"],
        [b"Connection: X-Private", b"Connection: keep-alive,x-other"],
        [b"connection:\tx-private ,,x-other,\t"],
        [b"Connection: close, x-other, x-private"],
    ],
)
def test_what_connection_names_goes_no_further_in_either_direction(site, app, lines):
    private = [b"X-Private: 1", b"X-Private: 2", b"x-other: 3", b"X-Kept: 4"]
    app.answer(reply(b"ok", *private[:2], *lines, *private[2:]))
    response = site.get("/", *private[:2], *lines, *private[2:])
    for message in (app.last, response):
        assert message.header("x-private") is None
        assert message.header("x-other") is None
        assert message.header("x-kept") == b"4"


def test_a_client_that_closes_does_not_close_the_upstream_connection(site, app):
    site.get()
    opened = app.opened
    with site.connect() as client:
        client.request(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        assert client.is_closed_by_peer()
    site.get()
    assert app.opened == opened


def test_an_origin_that_closes_does_not_close_the_client_connection(site, app):
    app.answer(reply(b"bye", b"Connection: close"))
    with site.connect() as client:
        response = client.request(GET)
        assert b"close" not in response.header_all("connection")
        opened = app.opened
        app.answer(reply(b"again"))
        assert client.request(GET).body == b"again"
    assert app.opened == opened + 1


def test_an_http_1_0_origin_connection_is_kept_only_if_it_says_so(site, app):
    app.answer(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    site.get()
    opened = app.opened
    app.answer(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")
    site.get()
    site.get()
    assert app.opened == opened + 1


def test_forwarding_headers_are_set_for_a_client_on_the_spot(site, app):
    site.get()
    assert app.last.header_all("x-forwarded-for") == [b"127.0.0.1"]
    assert app.last.header_all("x-forwarded-proto") == [b"http"]
    assert app.last.header_all("x-forwarded-host") == [b"example.com"]
    assert app.last.header_all("host") == [b"example.com"]


@pytest.mark.parametrize(
    "line",
    [
        b"X-Forwarded-For: " + SPOOFED,
        b"x-forwarded-for: 127.0.0.1, " + SPOOFED,
        b"X-Forwarded-Host: " + SPOOFED,
        b"X-Forwarded-Proto: " + SPOOFED,
        b"X-Real-IP: " + SPOOFED,
        b"Forwarded: for=" + SPOOFED + b";proto=https",
    ],
)
def test_an_untrusted_client_is_not_believed(site, app, line):
    site.get("/", line, line)
    assert SPOOFED not in app.last.raw


def test_a_trusted_proxy_is_believed_and_added_to(behind_proxies, app):
    lines = [b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: www.example"]
    behind_proxies.get("/", *lines)
    addresses = b",".join(app.last.header_all("x-forwarded-for")).replace(b" ", b"")
    assert addresses == b"203.0.113.9,127.0.0.1"
    assert app.last.header_all("x-forwarded-proto") == [b"https"]
    assert app.last.header_all("x-forwarded-host") == [b"www.example"]


def test_what_a_client_told_a_trusted_proxy_stays_in_the_list(behind_proxies, app):
    behind_proxies.get("/", b"X-Forwarded-For: 198.51.100.1, 203.0.113.9", b"X-Forwarded-For: 10.0.0.1")
    addresses = b",".join(app.last.header_all("x-forwarded-for")).replace(b" ", b"")
    assert addresses == b"198.51.100.1,203.0.113.9,10.0.0.1,127.0.0.1"


def test_a_trusted_proxy_that_says_nothing_gets_our_own_headers(behind_proxies, app):
    behind_proxies.get()
    assert app.last.header_all("x-forwarded-for") == [b"127.0.0.1"]
    assert app.last.header_all("x-forwarded-proto") == [b"http"]


@pytest.mark.parametrize("host", [b"a.example", b"A.Example:8080", b"127.0.0.1", b"[::1]:81"])
def test_host_is_kept_as_it_came(hosts, app, host):
    hosts.request(b"GET /keep HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
    assert app.last.header_all("host") == [host]


def test_host_is_the_endpoint_if_so_configured(hosts, app):
    hosts.get("/endpoint")
    assert app.last.header_all("host") == [b"127.0.0.1:%d" % app.port]
    assert app.last.header_all("x-forwarded-host") == [b"example.com"]


def test_host_is_a_literal_if_so_configured(hosts, app):
    hosts.get("/literal")
    assert app.last.header_all("host") == [b"inner.example:81"]
    assert app.last.header_all("x-forwarded-host") == [b"example.com"]


def test_a_path_without_a_route_is_not_found(hosts, app):
    assert hosts.get("/elsewhere").status == 404
    assert app.requests == []


# -- Max-Forwards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"/", b"*"])
def test_options_that_may_go_no_further_are_answered_here(site, app, target):
    """RFC 9110 7.6.2."""
    answer = site.request(b"OPTIONS %b HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n" % target)
    assert answer.status == 204
    assert b"OPTIONS" in (answer.header("allow") or b"")
    assert app.requests == []


def test_options_go_on_with_one_hop_less(site, app):
    site.request(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n")
    assert app.last.header_all("max-forwards") == [b"2"]


def test_for_other_methods_it_means_nothing(site, app):
    assert site.get("/", b"Max-Forwards: 0").status == 200
    assert app.last.header_all("max-forwards") == [b"0"]
