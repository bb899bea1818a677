"""forward-auth: what the service is asked, and what comes of its answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from gateway_security.forward_auth import ForwardAuth, NoVerdict
from pydantic import ValidationError

from gateway import ConfigurationError, Exchange, NoEndpoint, Request, Response
from gateway.testing import reply


class Service:
    """In the place of an App: answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: Response | Exception | None = None) -> None:
        self.answer = answer or Response(200)
        self.asked: list[Request] = []

    async def ask(self, upstream: str, exchange: Exchange) -> Response:
        self.asked.append(exchange.request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def made(**settings: object) -> ForwardAuth:
    return ForwardAuth(ForwardAuth.Config.model_validate({"upstream": "auth", **settings}))


def asked(app: object, *fields: tuple[str, str], method: str = "GET", target: str = "/a%2Fb?c=d") -> Exchange:
    exchange = Exchange(app, Request(method, target, [("host", "a.example"), *fields]))
    exchange.route = exchange.upstream = None
    return exchange


async def answer(plugin: ForwardAuth, exchange: Exchange) -> Response | None:
    said = plugin.on_request(exchange)
    return said if said is None or isinstance(said, Response) else await said


async def test_the_service_learns_what_is_asked_for_and_gets_no_body():
    app = Service()
    fields = [("content-length", "5"), ("if-none-match", '"a"'), ("cookie", "a=b"), ("x-forwarded-uri", "/public")]
    exchange = asked(app, *fields, ("X_Forwarded_Method", "HEAD"), ("x_real_ip", "10.0.0.1"), method="POST")
    assert await answer(made(path="/verify?strict"), exchange) is None
    (question,) = app.asked
    assert (question.method, question.target, question.has_body) == ("GET", b"/verify?strict", False)
    assert question.headers.raw == [
        (b"host", b"a.example"),
        (b"cookie", b"a=b"),
        (b"x-forwarded-method", b"POST"),
        (b"x-forwarded-uri", b"/a%2Fb?c=d"),
    ]
    assert exchange.request.method == "POST"
    assert b"if-none-match" in exchange.request.headers


async def test_a_client_cannot_take_away_what_the_service_learns():
    app = Service()
    await answer(made(), asked(app, ("connection", "close, X-Forwarded-Uri"), ("x-forwarded-method", "GET")))
    assert app.asked[0].headers.get_all("connection") == [b"close"]
    assert app.asked[0].headers.get_all("x-forwarded-method") == [b"GET"]


async def test_it_gets_only_the_headers_that_are_listed():
    app = Service()
    fields = [("cookie", "a=b"), ("x-key", "1"), ("accept", "*/*")]
    await answer(made(request_headers=["X-Key"]), asked(app, *fields))
    assert [name for name, _ in app.asked[0].headers] == [
        b"host",
        b"x-key",
        b"x-forwarded-method",
        b"x-forwarded-uri",
    ]


async def test_listed_headers_of_its_answer_go_to_the_upstream_and_a_clients_own_never_do():
    app = Service(Response(204, [("x-auth-user", "ana"), ("authorization", "Bearer t"), ("x-other", "1")]))
    exchange = asked(
        app,
        ("x_auth_user", "root"),
        ("authorization", "Basic x"),
        ("x-groups", "admin"),
        ("connection", "x-groups"),
    )
    plugin = made(response_headers=["X-Auth-User", "X-Groups", "Authorization"])
    assert await answer(plugin, exchange) is None
    assert exchange.request.headers.raw == [
        (b"host", b"a.example"),
        (b"x-auth-user", b"ana"),
        (b"authorization", b"Bearer t"),
    ]
    assert app.asked[0].headers.get("authorization") == b"Basic x"
    assert b"x-groups" not in app.asked[0].headers


@pytest.mark.parametrize("status", [401, 403, 301, 302, 303, 307, 308])
async def test_a_denial_is_the_clients_answer_with_the_listed_headers(status):
    fields = [("www-authenticate", "Negotiate"), ("location", "/login"), ("set-cookie", "a=b"), ("x-inside", "1")]
    app = Service(Response(status, [*fields, ("content-type", "text/html")], b"<p>no"))
    response = await answer(made(), asked(app))
    assert (response.status, response.body) == (status, b"<p>no")
    assert sorted(name for name, _ in response.headers) == [
        b"cache-control",
        b"content-type",
        b"location",
        b"set-cookie",
        b"www-authenticate",
    ]


async def test_a_denial_without_a_page_gets_ours_and_a_redirect_needs_none():
    app = Service(Response(401, [("www-authenticate", "Negotiate"), ("content-type", "text/x")]))
    response = await answer(made(), asked(app, ("accept", "application/json")))
    assert response.headers.get("content-type") == b"application/json"
    assert response.headers.get("www-authenticate") == b"Negotiate"
    app.answer = Response.redirect("https://login.example/")
    response = await answer(made(), asked(app))
    assert (response.status, response.body) == (302, b"")


@pytest.mark.parametrize("said", [Response(500), Response(404), Response(304), NoEndpoint("nobody"), Response(429)])
async def test_whatever_else_it_says_means_503(said):
    exchange = asked(Service(said))
    with pytest.raises(NoVerdict) as refused:
        await answer(made(), exchange)
    assert refused.value.status == 503
    assert "'auth'" in str(refused.value)


async def test_a_service_that_takes_too_long_means_503():
    async def hang(upstream: str, exchange: Exchange) -> None:
        await asyncio.Event().wait()

    with pytest.raises(NoVerdict, match=r"no answer within 0\.01 s"):
        await answer(made(timeout="10ms"), asked(SimpleNamespace(ask=hang)))


async def test_each_request_is_asked_about_unless_a_cache_is_set():
    app, plugin = Service(), made()
    for _ in range(2):
        await answer(plugin, asked(app, ("cookie", "a=b")))
    assert len(app.asked) == 2


@pytest.mark.parametrize(
    ("mode", "other", "asked_again"),
    [
        ("request", {}, False),
        ("request", {"target": "/other"}, True),
        ("request", {"method": "DELETE"}, True),
        ("credentials", {"target": "/other", "method": "DELETE"}, False),
    ],
)
async def test_an_answer_holds_for_what_is_the_same(mode, other, asked_again):
    app = Service(Response(200, {"x-auth-user": "ana"}))
    plugin = made(cache="10s", cache_for=mode, response_headers=["x-auth-user"])
    await answer(plugin, asked(app, ("cookie", "a=b")))
    exchange = asked(app, ("cookie", "a=b"), ("x-auth-user", "root"), **other)
    assert await answer(plugin, exchange) is None
    assert exchange.request.headers.get_all("x-auth-user") == [b"ana"]
    assert (len(app.asked) == 2) is asked_again
    await answer(plugin, asked(app, ("cookie", "a=c")))
    assert len(app.asked) == 2 + asked_again


async def test_a_denial_and_a_request_without_credentials_are_not_remembered():
    app, plugin = Service(Response(403)), made(cache="10s")
    for _ in range(2):
        await answer(plugin, asked(app, ("cookie", "a=b")))
    app.answer = Response(200)
    for _ in range(2):
        await answer(plugin, asked(app))
    assert len(app.asked) == 4


async def test_what_is_remembered_ends():
    now = [0.0]
    app = Service()
    plugin = ForwardAuth(ForwardAuth.Config(upstream="auth", cache=10), lambda: now[0])
    for seconds in (0.0, 9.0, 11.0):
        now[0] = seconds
        await answer(plugin, asked(app, ("cookie", "a=b")))
    assert len(app.asked) == 2


async def test_preflights_pass_unasked_only_where_that_is_set():
    fields = [("origin", "https://b"), ("access-control-request-method", "PUT"), ("x-auth-user", "root")]
    app = Service(Response(403))
    assert (await answer(made(), asked(app, *fields, method="OPTIONS"))).status == 403
    exchange = asked(app, *fields, method="OPTIONS")
    assert await answer(made(allow_preflight=True, response_headers=["x-auth-user"]), exchange) is None
    assert b"x-auth-user" not in exchange.request.headers
    assert len(app.asked) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"path": "verify"}, 'expected a path such as "/verify"'),
        ({"response_headers": ["host"]}, "is set by the gateway"),
        ({"client_headers": ["a b"]}, "not a token"),
        ({"timeout": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        ForwardAuth.Config.model_validate({"upstream": "auth", **settings})


def test_an_upstream_that_is_not_there_refuses_the_start():
    app = SimpleNamespace(upstreams={"app": None, "login": None})
    for hook in (made().startup, made().on_check):
        with pytest.raises(
            ConfigurationError, match=r"upstream: there is no upstream 'auth' \(known: app, login\)"
        ):
            hook(app)


SITE = """
workers = 1
plugins = [{ use = "forward-auth", upstream = "auth", path = "/verify", response_headers = ["x-auth-user"] }]
[[listeners]]
bind = "127.0.0.1:0"
[upstreams]
app.endpoints = ["%s"]
auth.endpoints = ["%s"]
[[routes]]
upstream = "app"
"""


def test_in_a_gateway_the_service_decides_and_nothing_passes_without_it(gateway, origin):
    app, auth = origin(reply(b"hello")), origin(reply(b"", b"X-Auth-User: ana"))
    site = gateway(SITE % (app.url, auth.url))
    post = b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-Auth-User: root\r\nContent-Length: 4\r\n\r\nbody"
    assert site.request(post).body == b"hello"
    (seen,) = app.requests
    assert seen.body == b"body"
    assert [value for name, value in seen.headers if name.lower() == b"x-auth-user"] == [b"ana"]
    (question,) = auth.requests
    assert question.target == b"/verify"
    assert dict(question.headers)[b"x-forwarded-uri"] == b"/a?b"
    assert dict(question.headers)[b"x-forwarded-for"] == b"127.0.0.1"
    auth.answer(reply(b"", b"Location: /login", status=b"302 Found"))
    assert site.request(post).header("location") == b"/login"
    handshake = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert site.request(handshake).status == 302
    auth.close()
    assert site.request(post).status == 503
    assert len(app.requests) == 1
