"""Listeners: several in one process, TLS on both sides, HTTP/2."""

from __future__ import annotations

import ssl
import subprocess
import time
from pathlib import Path

import pytest

from gateway.testing import (
    Authority,
    Certificate,
    Client,
    GatewayProcess,
    OriginConnection,
    SeenRequest,
    reply,
    require_program,
    wait_until,
)

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "gateway.sock"


@pytest.fixture(scope="module")
def everywhere(module_gateway, shared_origin, certificate: Certificate, socket_path: Path) -> GatewayProcess:
    """One process with a listener of each kind: IPv4, TLS, IPv6, Unix socket."""
    tls = {"cert": certificate.cert, "key": certificate.key}
    return module_gateway(
        endpoints=[shared_origin],
        listeners=[
            {"bind": "127.0.0.1:0"},
            {"bind": "127.0.0.2:0", "tls": tls},
            {"bind": "[::1]:0"},
            {"bind": f"unix:{socket_path}"},
            {"bind": "127.0.0.3:0", "tls": {**tls, "min_version": "1.3"}},
            {"bind": "127.0.0.4:0", "tls": tls, "http": "1", "header_timeout": "1s"},
            {"bind": "127.0.0.5:0", "tls": tls, "header_timeout": "1s"},
        ],
        limits={"max_body": "8MiB"},
    )


PLAIN, TLS, SIX, TLS13, TLS_HTTP1, TLS_QUICK = range(6)  # positions among the TCP listeners


@pytest.mark.parametrize("listener", [PLAIN, SIX])
def test_a_plain_listener_serves(everywhere, app, listener):
    with everywhere.connect(listener) as client:
        assert client.request(GET).body == b"ok"
    address = "::1" if listener == SIX else "127.0.0.1"
    assert app.last.header_all("x-forwarded-for") == [address.encode()]


def test_a_unix_socket_serves(everywhere, app, socket_path):
    assert everywhere.unix_paths == [str(socket_path)]
    with Client(str(socket_path)) as client:
        assert client.request(GET).body == b"ok"
        assert client.request(GET).body == b"ok"


def test_a_tls_listener_serves_http_1(everywhere, app, certificate):
    context = certificate.client_context()
    with everywhere.connect(TLS, tls=context, server_name="localhost") as client:
        assert client.request(GET).body == b"ok"
    assert app.last.header_all("x-forwarded-proto") == [b"https"]


def test_two_listeners_that_ask_for_any_port_get_one_each(gateway, origin):
    site = gateway(endpoints=[origin()], listeners=[{"bind": "127.0.0.1:0"}, {"bind": "127.0.0.1:0"}])
    assert len({each.port for each in site.listening}) == 2
    for listener in (0, 1):
        with site.connect(listener) as client:
            assert client.request(GET).body == b"ok"


@pytest.mark.parametrize(
    ("listener", "version", "works"),
    [
        (TLS, ssl.TLSVersion.TLSv1_2, True),
        (TLS, ssl.TLSVersion.TLSv1_3, True),
        (TLS13, ssl.TLSVersion.TLSv1_2, False),
        (TLS13, ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_the_oldest_version_of_tls_is_chosen(everywhere, app, certificate, listener, version, works):
    context = certificate.client_context()
    context.minimum_version = context.maximum_version = version
    if works:
        with everywhere.connect(listener, tls=context, server_name="localhost") as client:
            assert client.request(GET).body == b"ok"
    else:
        with pytest.raises(ssl.SSLError):
            everywhere.connect(listener, tls=context, server_name="localhost")


@pytest.mark.parametrize(("listener", "protocol"), [(TLS, "h2"), (TLS_HTTP1, "http/1.1")])
def test_the_protocol_is_agreed_by_alpn(everywhere, certificate, listener, protocol):
    context = certificate.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with everywhere.connect(listener, tls=context, server_name="localhost") as client:
        assert client.socket.selected_alpn_protocol() == protocol


def test_plain_text_to_a_tls_listener_harms_nobody(everywhere, app):
    with everywhere.connect(TLS) as client:
        client.send(GET)
        client.read_until_closed()
    assert app.requests == []
    assert everywhere.get().body == b"ok"


HALF = b"GET / HTTP/1.1\r\nHost: a\r\nX-"


@pytest.mark.parametrize(
    ("listener", "start"),
    [
        pytest.param(TLS_HTTP1, None, id="http1-no-hello"),
        pytest.param(TLS_HTTP1, b"", id="http1-silent"),
        pytest.param(TLS_HTTP1, HALF, id="http1-half"),
        pytest.param(TLS_QUICK, None, id="auto-no-hello"),
        pytest.param(TLS_QUICK, b"", id="auto-silent"),
        pytest.param(TLS_QUICK, HALF, id="auto-half"),
    ],
)
def test_a_tls_connection_that_asks_nothing_is_closed(everywhere, certificate, listener, start):
    context = certificate.client_context() if start is not None else None
    with everywhere.connect(listener, tls=context, server_name="localhost", timeout=4) as client:
        if start:
            client.send(start)
        client.read_until_closed()


def curl(everywhere: GatewayProcess, certificate: Certificate, *arguments: str) -> tuple[str, bytes]:
    """Version of HTTP and body of what curl got from the TLS listener."""
    url = f"https://localhost:{everywhere.listening[TLS].port}"
    command = [require_program("curl"), "--silent", "--show-error", "--max-time", "10", "--http2"]
    command += [
        "--cacert",
        str(certificate.ca),
        "--noproxy",
        "*",
        "--resolve",
        f"{url[8:]}:{everywhere.listening[TLS].host}",
    ]
    command += ["--write-out", "%{stderr}%{http_version} %{http_code}"]
    done = subprocess.run(
        [*command, *(part.replace("URL", url) for part in arguments)], capture_output=True, check=False
    )
    return done.stderr.decode(), done.stdout


def test_http_2_serves(everywhere, app, certificate):
    app.answer(reply(b"over two", b"X-A: 1", b"X-A: 2"))
    assert curl(everywhere, certificate, "URL/a%2Fb?c=%20") == ("2 200", b"over two")
    assert app.last.start_line == b"GET /a%2Fb?c=%20 HTTP/1.1"
    assert app.last.header_all("host") == [b"localhost:%d" % everywhere.listening[TLS].port]
    assert [name for name in app.last.names if name.startswith(b":")] == []


def test_http_2_carries_bodies_both_ways(everywhere, app, certificate, tmp_path):
    def echo(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(reply(connection.read_body(request)))

    app.answer(echo)
    body = bytes(range(256)) * 8192
    (tmp_path / "body").write_bytes(body)
    data = f"@{tmp_path}/body"
    assert curl(everywhere, certificate, "--data-binary", data, "URL/up") == ("2 200", body)
    assert app.last.body == body


def test_http_2_requests_share_one_client_connection(everywhere, app, certificate):
    app.answer(lambda connection, request: connection.send(reply(request.target)))
    urls = " ".join(f"URL/{number}" for number in range(5)).split()
    assert curl(everywhere, certificate, "--parallel", *urls)[1] != b""
    assert sorted(seen.target for seen in app.requests) == [b"/%d" % number for number in range(5)]


def test_http_2_has_no_connection_fields_in_its_responses(everywhere, app, certificate):
    app.answer(reply(b"ok", b"Keep-Alive: timeout=5", b"Connection: keep-alive", b"Proxy-Connection: x"))
    heads = curl(everywhere, certificate, "--include", "URL/")[1].lower()
    assert heads.startswith(b"http/2 200")
    for name in (b"connection:", b"keep-alive:", b"transfer-encoding:", b"upgrade:"):
        assert b"\n" + name not in heads


def test_an_upstream_that_dies_resets_the_http_2_stream(everywhere, app, certificate):
    def die(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        connection.close()

    app.answer(die)
    message, _ = curl(everywhere, certificate, "URL/")
    assert "curl: (" in message


def test_http_2_has_the_same_limit_of_a_body(everywhere, app, tmp_path):
    (tmp_path / "large").write_bytes(bytes((8 << 20) + 1))
    url = f"https://{everywhere.listening[TLS].host}:{everywhere.listening[TLS].port}/"
    command = [require_program("nghttp"), "--null-out", "--verbose", "--data", str(tmp_path / "large"), url]
    frames = subprocess.run(command, capture_output=True, check=True).stdout
    assert b":status: 413" in frames
    assert b"(error_code=NO_ERROR" in frames  # RFC 9113 8.1: a whole response before the whole request
    assert app.requests == []


def test_the_cookie_fields_of_http_2_reach_the_endpoint_as_one(everywhere, app):
    url = f"https://{everywhere.listening[TLS].host}:{everywhere.listening[TLS].port}/"
    command = [require_program("nghttp"), "--null-out", "--header", "cookie: a=1", "--header", "cookie: b=2", url]
    subprocess.run(command, capture_output=True, check=True)
    assert app.last.header_all("cookie") == [b"a=1; b=2"]


def test_http_2_has_the_same_limits_of_a_head(everywhere, app, certificate):
    assert curl(everywhere, certificate, "URL/" + "x" * 20_000)[0] == "2 414"
    assert curl(everywhere, certificate, "--request", "TRACE", "URL/")[0] == "2 405"
    assert app.requests == []


def test_an_http_2_client_that_leaves_cancels_the_attempt(everywhere, app, certificate):
    left: list[float] = []
    app.answer(lambda connection, request: left.append(connection.wait_closed()))
    port, host = everywhere.listening[TLS].port, everywhere.listening[TLS].host
    command = [require_program("curl"), "--silent", "--http2", "--insecure", "--noproxy", "*"]
    with subprocess.Popen([*command, f"https://{host}:{port}/"]) as client:
        app.wait_for_requests(1)
        client.kill()
    went = time.monotonic()
    wait_until(lambda: left, message="the upstream connection stayed open")
    assert left[0] - went < 1


@pytest.fixture(scope="module")
def verified(module_gateway, module_origin, authority: Authority, certificate: Certificate):
    """Upstreams over TLS: one as it should be, one with another name, one that nobody vouches for."""
    stranger = Authority(authority.cert.parent, "Stranger").issue("127.0.0.1")
    good, other, unknown = (
        module_origin(tls=certificate),
        module_origin(tls=authority.issue("other.example")),
        module_origin(tls=stranger),
    )
    ca = {"ca": str(authority.cert)}
    upstreams = {
        "good": {"endpoints": [f"https://localhost:{good.port}"], "tls": ca},
        "address": {"endpoints": [good], "tls": ca},
        "other": {"endpoints": [other], "tls": ca},
        "named": {"endpoints": [other], "tls": {**ca, "server_name": "other.example"}},
        "unknown": {"endpoints": [unknown], "tls": ca},
        "default": {"endpoints": [good]},
        "careless": {"endpoints": [unknown], "tls": {"verify": False}},
    }
    routes = [{"match": {"path": f"/{name}"}, "upstream": name} for name in upstreams]
    return module_gateway(upstreams=upstreams, routes=routes), {"good": good, "other": other, "unknown": unknown}


@pytest.mark.parametrize("path", ["/good", "/address", "/named", "/careless"])
def test_an_upstream_with_the_right_certificate_serves(verified, path):
    site, _ = verified
    assert site.get(path).body == b"ok"
    assert site.request(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" % path.encode()).body == b"ok"


@pytest.mark.parametrize(("path", "server"), [("/other", "other"), ("/unknown", "unknown"), ("/default", "good")])
def test_an_upstream_with_a_wrong_certificate_is_refused_by_default(verified, path, server):
    site, servers = verified
    servers[server].reset()
    assert site.get(path).status == 502
    assert servers[server].requests == []


@pytest.mark.parametrize(
    ("path", "server", "name"), [("/good", "good", "localhost"), ("/named", "other", "other.example")]
)
def test_the_server_name_is_sent_to_an_upstream(verified, path, server, name):
    site, servers = verified
    servers[server].drop_connections()
    servers[server].reset()
    site.get(path)
    assert servers[server].server_names == [name]


def test_a_large_body_passes_through_tls_on_both_sides(verified, module_gateway, certificate, everywhere, app):
    def echo(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(reply(connection.read_body(request)))

    app.answer(echo)
    body = bytes(range(256)) * (8 << 12)
    with everywhere.connect(TLS, tls=certificate.client_context(), server_name="localhost") as client:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert client.request(head + body).body == body
    wait_until(lambda: app.last.is_complete)


def test_endpoints_on_a_unix_socket_and_on_ipv6_serve(gateway, origin, tmp_path):
    unix, six = origin(reply(b"unix"), unix_path=tmp_path / "o.sock"), origin(reply(b"six"), host="::1")
    upstreams = {"unix": {"endpoints": [unix]}, "six": {"endpoints": [six]}}
    site = gateway(
        upstreams=upstreams,
        routes=[{"match": {"path": f"/{name}"}, "upstream": name} for name in upstreams],
    )
    assert (site.get("/unix").body, site.get("/six").body) == (b"unix", b"six")
    assert unix.last.header_all("host") == [b"example.com"]
