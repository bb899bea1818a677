"""hide-upstream: fields that tell too much, addresses, and error pages."""

from __future__ import annotations

from types import SimpleNamespace

import orjson
import pytest
from gateway_security import HideUpstream
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Attempt, Endpoint, EndpointSettings, Exchange, Headers, Request, Response
from gateway.testing import OriginConnection, SeenRequest, reply, wait_until

ALONE = SimpleNamespace(has_trusted_proxies=False)
BEHIND_TRUSTED = SimpleNamespace(has_trusted_proxies=True, is_trusted=lambda request: True)


def hidden(
    fields: list[tuple[str, str]],
    *,
    app: object = ALONE,
    endpoint: str = "http://10.0.0.1:8000",
    sent_host: str = "www.example.com",
    asked: str = "/",
    forwarded: bytes | None = None,
    scheme: str = "https",
    request_headers: dict[str, str] | None = None,
    **config: object,
) -> list[tuple[bytes, bytes]]:
    """A response's fields, but for Server, after the plugin has seen them."""
    plugin = HideUpstream(HideUpstream.Config.model_validate(config))
    host = {"host": "www.example.com"} if request_headers is None else request_headers
    exchange = Exchange(app, Request("GET", asked, host, scheme=scheme))
    exchange.forwarded_path = forwarded
    exchange.attempts.append(Attempt(1, Endpoint(EndpointSettings(url=endpoint)), Headers({"host": sent_host})))
    response = Response(200, fields)
    plugin.on_upstream_response(exchange, response)
    return [field for field in response.headers.raw if field[0] != b"server"]


def location(value: str, **situation: object) -> str:
    return hidden([("location", value)], **situation)[0][1].decode("latin-1")


def cookie(value: str, **situation: object) -> str:
    return hidden([("set-cookie", value)], **situation)[0][1].decode()


# -- fields --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["X-Powered-By", "x-powered-by-plesk", "X-AspNet-Version", "X-Runtime", "Via", "X-Debug-Token-Link",
     "X-Envoy-Upstream-Service-Time", "X-Varnish", "X-Backend-Server", "X-Accel-Redirect"],
)  # fmt: skip
def test_a_field_that_tells_of_the_upstream_is_taken_away(name):
    assert hidden([("a", "1"), (name, "secret"), ("b", "2"), (name, "too")]) == [(b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize(
    "name", ["x-request-id", "etag", "x-total-count", "server-timing", "x-runtimes", "x-debugger"]
)
def test_every_other_field_stays_as_it_is(name):
    fields = [(name, "one"), ("set-cookie", "a=1"), (name, "two")]
    assert hidden(fields) == [(name.encode(), b"one"), (b"set-cookie", b"a=1"), (name.encode(), b"two")]


def test_the_list_can_be_added_to_and_taken_from():
    fields = [("x-acme-node", "7"), ("x-owner", "me"), ("via", "1.1 inner"), ("x-envoy-a", "1"), ("x-runtime", "1")]
    changed = hidden(fields, hide=["X-Acme-*", "x-owner"], keep=["Via", "x-envoy-*"])
    assert changed == [(b"via", b"1.1 inner"), (b"x-envoy-a", b"1")]


@pytest.mark.parametrize(
    ("config", "server"),
    [({}, b"gateway"), ({"server": "Web"}, b"Web"), ({"keep": ["server"]}, b"nginx/1.2.3")],
)
def test_server_is_replaced_rather_than_missing(config, server):
    plugin = HideUpstream(HideUpstream.Config.model_validate(config))
    response = Response(200, {"server": "nginx/1.2.3"})
    plugin.on_upstream_response(Exchange(ALONE, Request()), response)
    assert response.headers.get_all("server") == [server]


def test_an_upstream_with_ever_new_names_fills_no_memory():
    plugin = HideUpstream(HideUpstream.Config())
    for number in range(5000):
        plugin.on_upstream_response(Exchange(ALONE, Request()), Response(200, {f"x-{number}": "1"}))
    assert len(plugin._fates) <= 4096


# -- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("http://10.0.0.1:8000/a?b#c", "https://www.example.com/a?b#c"),
        ("HTTP://10.0.0.1:8000", "https://www.example.com"),
        ("http://10.0.0.1:8000?x", "https://www.example.com/?x"),
        ("//10.0.0.1:8000/a", "//www.example.com/a"),
        ("http://www.example.com/a", "https://www.example.com/a"),
        ("https://www.example.com/a", "https://www.example.com/a"),
        ("/a//b", "/a//b"),
        ("a/../b", "a/../b"),
        ("http://10.0.0.1:8001/a", "http://10.0.0.1:8001/a"),
        ("http://10.0.0.1/a", "http://10.0.0.1/a"),
        ("http://user@10.0.0.1:8000/a", "http://user@10.0.0.1:8000/a"),
        ("https://login.example.org/?back=http://10.0.0.1:8000/", "https://login.example.org/?back=http://10.0.0.1:8000/"),
        ("http://10.0.0.1:8000.evil.example/", "http://10.0.0.1:8000.evil.example/"),
        ("mailto:me@10.0.0.1", "mailto:me@10.0.0.1"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_location_leads_to_where_the_client_came(value, seen):
    assert location(value) == seen
    assert hidden([("content-location", value)])[0][1].decode() == seen


@pytest.mark.parametrize(
    ("value", "situation", "seen"),
    [
        ("http://inner.example/a", {"sent_host": "inner.example"}, "https://www.example.com/a"),
        ("http://inner.example:80/a", {"sent_host": "inner.example"}, "https://www.example.com/a"),
        ("http://app.internal:8080/a", {"also_own": ["App.internal:8080"]}, "https://www.example.com/a"),
        ("https://[::1]/a", {"endpoint": "https://[::1]"}, "https://www.example.com/a"),
        ("http://localhost/a", {"endpoint": "unix:/run/app.sock"}, "https://www.example.com/a"),
        ("http://10.0.0.1:8000/a", {"scheme": "ws"}, "http://www.example.com/a"),
        ("http://10.0.0.1:8000/a", {"request_headers": {}}, "/a"),
        ("http://10.0.0.1:8000", {"request_headers": {}}, "/"),
        ("http://10.0.0.1:8000/a", {"addresses": False}, "http://10.0.0.1:8000/a"),
    ],
)
def test_the_endpoint_has_several_addresses_of_its_own(value, situation, seen):
    assert location(value, **situation) == seen


def test_a_site_without_tls_may_send_its_visitors_to_the_one_with_it():
    assert location("https://www.example.com/a", scheme="http") == "https://www.example.com/a"
    assert location("https://10.0.0.1:8000/a", scheme="http") == "https://www.example.com/a"


def test_trusted_proxies_say_what_the_client_has_used():
    headers = {"host": "inner", "x-forwarded-proto": "https", "x-forwarded-host": "shop.example:8443"}
    situation = {"request_headers": headers, "scheme": "http"}
    assert location("http://10.0.0.1:8000/a", **situation) == "http://inner/a"
    assert location("http://10.0.0.1:8000/a", app=BEHIND_TRUSTED, **situation) == "https://shop.example:8443/a"
    headers["x-forwarded-host"] = "one.example, two.example"
    assert location("http://10.0.0.1:8000/a", app=BEHIND_TRUSTED, **situation) == "https://inner/a"


@pytest.mark.parametrize(
    ("asked", "forwarded", "value", "seen"),
    [
        ("/app/x", b"/x", "/login", "/app/login"),
        ("/app/x", b"/x", "/app/login", "/app/login"),
        ("/app", b"/", "/", "/app/"),
        ("/app/x?y", b"/x", "/x?next=/y", "/app/x?next=/y"),
        ("/app/x", b"/x", "http://10.0.0.1:8000/login", "https://www.example.com/app/login"),
        ("/app/x", b"/x", "https://other.example/login", "https://other.example/login"),
        ("/app/x", b"/inner/x", "/inner/login", "/app/login"),
        ("/app/x", b"/inner/x", "/inner", "/app"),
        ("/app/x", b"/inner/x", "/inner2", "/inner2"),
        ("/x", b"/inner/x", "/inner/a", "/a"),
        ("/x", b"/inner/x", "/inner//evil.example", "/evil.example"),
        ("/x", b"/inner/x", "/inner/\\evil.example", "/evil.example"),
        ("/x", b"/inner/x", "/inner/\t/evil.example", "/evil.example"),
        ("//app//x", b"/x", "/login", "/app/login"),
        ("/\\evil.example/x", b"/x", "/login", "/%5Cevil.example/login"),
        ("/a/%2E./app/x", b"/x", "/login", "/login"),
        ("/users/5/a", b"/people/a/5", "/people/a/6", "/people/a/6"),
        ("/users/5/a", b"/people/a/5", "/people/a/5", "/users/5/a"),
    ],
)
def test_a_rewritten_path_is_undone(asked, forwarded, value, seen):
    assert location(value, asked=asked, forwarded=forwarded) == seen


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("5; url=http://10.0.0.1:8000/a", "5; url=https://www.example.com/a"),
        ("0;URL='http://10.0.0.1:8000/a'", "0;URL='https://www.example.com/a'"),
        ('1.5, url="/a"', '1.5, url="/a"'),
        ("5", "5"),
    ],
)
def test_refresh_leads_there_too(value, seen):
    assert hidden([("refresh", value)])[0][1].decode() == seen


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("a=1; Domain=10.0.0.1; Secure", "a=1; Domain=www.example.com; Secure"),
        ("a=1; domain=.10.0.0.1", "a=1; Domain=www.example.com"),
        ("a=1; Domain=.example.com; HttpOnly", "a=1; Domain=.example.com; HttpOnly"),
        ("a=1; Domain=www.example.com", "a=1; Domain=www.example.com"),
        ("a=domain=10.0.0.1; Path=/", "a=domain=10.0.0.1; Path=/app"),
        ("a=1;Path=/x/;Secure", "a=1; Path=/app/x/;Secure"),
        ("a=1; Path=/app/x", "a=1; Path=/app/x"),
        ("a=1; Path=x", "a=1; Path=x"),
        ("__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=/"),
        ("a", "a"),
    ],
)
def test_a_cookie_is_one_of_the_public_address(value, seen):
    assert cookie(value, asked="/app/x", forwarded=b"/x") == seen
    assert cookie(value, asked="/app/x", forwarded=b"/x", cookies=False) == value


@pytest.mark.parametrize("value", ["http://10.0.0.1:8000//evil.example", "http://10.0.0.1:8000/\t\\evil.example"])
def test_a_client_without_a_host_is_not_led_to_another_one(value):
    assert location(value, request_headers={}) == "/evil.example"


def test_a_path_that_the_client_has_chosen_adds_no_attribute_to_a_cookie():
    situation = {"asked": "/app;Domain=example.com/x", "forwarded": b"/x"}
    assert cookie("a=1; Path=/; Secure", **situation) == "a=1; Secure"


@pytest.mark.parametrize("host", ["localhost:8080", "192.0.2.1", "[::1]"])
def test_an_address_without_a_domain_gets_cookies_without_one(host):
    situation = {"request_headers": {"host": host}, "sent_host": "inner.example"}
    assert cookie("a=1; Domain=inner.example; Secure", **situation) == "a=1; Secure"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hide": ["*"]}, "beginning of one"),
        ({"hide": ["a b"]}, "not a token"),
        ({"hide": ["Content-Length"]}, "the gateway's own"),
        ({"server": " "}, "expected a word"),
        ({"also_own": ["http://app"]}, "HOST:PORT"),
        ({"error_pages": [200]}, "from 400 to 599"),
        ({"error_pages": ["6xx"]}, "from 400 to 599"),
        ({"error_pages": [True]}, "valid string"),
    ],
)
def test_what_cannot_be_is_refused_at_load(config, message):
    with pytest.raises(ValidationError, match=message):
        HideUpstream.Config.model_validate(config)


BYTES = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"/", b"//", b"\\", b"http:", b"10.0.0.1:8000", b"evil.example", b"app", b"x", b"..", b"%2e",
                     b"?", b"; Path=", b"; Domain=", b"#", b"0; url="])
).map(b"".join)  # fmt: skip
CLEAN = BYTES.filter(lambda value: not set(value) & set(b"\r\n\0"))


@given(st.sampled_from(["location", "content-location", "refresh", "set-cookie"]), CLEAN)
def test_any_value_can_come_and_one_without_the_own_address_stays(name, value):
    changed = hidden([(name, value.decode("latin-1"))])
    if b"10.0.0.1" not in value:
        assert changed == [(name.encode(), value)]


@given(CLEAN, CLEAN, CLEAN)
def test_undoing_a_path_never_leads_to_another_host_and_never_ends_a_field(before, after, target):
    asked, forwarded = b"/" + before.partition(b"?")[0], b"/" + after.partition(b"?")[0]
    target = b"/" + target.lstrip(b"/\\")
    seen = location(target.decode("latin-1"), asked=asked.decode("latin-1"), forwarded=forwarded).encode("latin-1")
    assert seen == target or not seen.startswith((b"//", b"/\\"))
    assert seen.startswith(b"/")
    assert not set(seen) & set(b"\r\n\0")


# -- in a gateway --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(module_origin):
    return module_origin()


@pytest.fixture(scope="module")
def site(module_gateway, app):
    return module_gateway(
        upstreams={"app": {"endpoints": [app]}},
        routes=[
            {"match": {"path": "/shop"}, "upstream": "app", "rewrite": {"prefix": "/"}},
            {"match": {"path": "/own"}, "respond": {"body": "", "status": 302, "headers": {"X-Runtime": "1"}}},
            {"match": {"path": "/"}, "upstream": "app"},
        ],
        plugins=[{"use": "hide-upstream", "error_pages": [404, "5xx"]}],
    )


def test_a_client_sees_neither_the_endpoint_nor_its_paths(site, app):
    fields = (
        b"Location: %b/login" % app.url.encode(),
        b"Set-Cookie: a=1; Path=/",
        b"X-Powered-By: PHP/5",
        b"Server: x",
    )
    app.reset(reply(b"", *fields, status=b"302 Found"))
    answer = site.get("/shop/cart")
    assert app.last.target == b"/cart"
    assert answer.header("location") == b"http://example.com/shop/login"
    assert answer.header("set-cookie") == b"a=1; Path=/shop"
    assert answer.header_all("server") == [b"gateway"]
    assert answer.header("x-powered-by") is None


def test_what_the_gateway_says_itself_is_left_alone(site):
    assert site.get("/own").header("x-runtime") == b"1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_an_error_page_of_the_gateway_follows_accept_and_keeps_what_a_client_needs(site, app, method):
    fields = (b"X-Stack: at line 5", b"Retry-After: 30", b"Content-Encoding: gzip", b'ETag: "x"')
    body = b"" if method == "HEAD" else b"Traceback"
    app.reset(reply(body, *fields, status=b"503 Service Unavailable"))
    with site.connect() as client:
        for _ in range(2):
            head = f"{method} /x HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n"
            answer = client.request(head.encode())
            assert (answer.status, answer.header("content-type")) == (503, b"application/json")
            assert answer.header_all("retry-after") == [b"30"]
            assert answer.header("cache-control") == b"no-store"
            for name in ("x-stack", "content-encoding", "etag"):
                assert answer.header(name) is None
            assert answer.body == b"" if method == "HEAD" else orjson.loads(answer.body)["status"] == 503
    assert len({seen.connection for seen in app.requests}) == 1


def test_an_endless_error_page_is_cut_and_its_connection_with_it(site, app):
    closed: list[bool] = []

    def pour(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstack\r\n")
        connection.wait_closed()
        closed.append(True)

    app.reset(pour)
    with site.connect() as client:
        answer = client.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.status == 500
        assert b"stack" not in answer.raw
        wait_until(lambda: closed)
        app.reset(reply(b"well"))
        assert client.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"well"


def test_an_error_that_is_not_listed_comes_as_the_upstream_says_it(site, app):
    app.reset(reply(b'{"field": "name"}', b"Content-Type: application/json", status=b"422 Unprocessable Content"))
    answer = site.get("/")
    assert (answer.status, answer.body) == (422, b'{"field": "name"}')


def test_a_refused_websocket_is_cleaned_like_any_response(site, app):
    app.reset(reply(b"Traceback", b"X-Powered-By: PHP/5", status=b"500 Oh"))
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    answer = site.request(b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade + key + b"\r\n")
    assert answer.status == 500
    assert b"Traceback" not in answer.raw
    assert answer.header("x-powered-by") is None
