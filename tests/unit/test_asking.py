"""A plugin asks an upstream: what is sent, what comes back, and what health hears of it."""

from __future__ import annotations

import pytest

from gateway import BadResponse, Exchange, GatewayError, NoEndpoint, Request
from gateway.testing import reply

NOTING = """
    from gateway import hookimpl

    HEARD = []

    class Noting:
        @hookimpl
        def on_request(self, exchange):
            HEARD.append("request")
        @hookimpl
        def on_upstream_request(self, exchange, attempt):
            HEARD.append("upstream request")
        @hookimpl
        def on_attempt(self, exchange, attempt):
            HEARD.append(f"{exchange.upstream.name} {attempt.status}")
"""


@pytest.fixture
def asking(app, origin):
    """An App that has an upstream `auth` beside its own, the origin behind that, and an exchange under way."""

    def build(answer: bytes = reply(b"yes", b"X-User: ana")):
        peer = origin(answer)
        text = f"""
            plugins = ["./hooks.py:Noting"]
            upstreams.app.endpoints = ["http://127.0.0.1:9"]
            upstreams.auth.endpoints = ["{peer.url}"]
            routes = [{{ name = "all", upstream = "app", rewrite.prefix = "/rewritten", match.path = "/a" }}]
            """
        built = app(text, hooks__py=NOTING)
        exchange = Exchange(built, Request("POST", "/a?b=c", {"host": "a.example", "content-length": "9"}))
        built.router.match(exchange.request).take(exchange)
        return built, peer, exchange

    return build


def heard(app) -> list[str]:
    return app.plugins[0][1].on_request.__globals__["HEARD"]


async def test_the_upstream_gets_the_copy_and_its_whole_answer_comes_back(asking):
    app, peer, exchange = asking()
    copy = exchange.copy()
    copy.request.method, copy.request.raw_path = "GET", b"/verify"
    answer = await app.ask("auth", copy)
    assert (answer.status, answer.body, answer.headers.get("x-user")) == (200, b"yes", b"ana")
    (seen,) = peer.requests
    assert (seen.method, seen.target) == ("GET", b"/verify?b=c")
    assert b"content-length" not in dict(seen.headers)
    assert exchange.upstream.name == "app"
    assert not exchange.attempts
    await app.shutdown()


async def test_plugins_hear_of_the_attempt_and_of_nothing_else(asking):
    app, _, exchange = asking()
    await app.ask("auth", exchange.copy())
    assert heard(app) == ["auth 200"]
    assert app.upstreams["auth"].in_flight == 0
    await app.shutdown()


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n9\r\n"])
async def test_an_answer_that_is_too_long_is_none(asking, framing):
    app, _, exchange = asking(b"HTTP/1.1 200 OK\r\n" + framing + b"123456789")
    with pytest.raises(BadResponse, match="a body of more than 8 bytes"):
        await app.ask("auth", exchange.copy(), most=8)
    assert app.upstreams["auth"].in_flight == 0
    await app.shutdown()


async def test_what_goes_wrong_is_an_error_of_ours(asking):
    app, peer, exchange = asking(b"nonsense")
    with pytest.raises(BadResponse):
        await app.ask("auth", exchange.copy())
    peer.close()
    with pytest.raises(GatewayError):
        await app.ask("auth", exchange.copy())
    app.upstreams["auth"].set_endpoints(())
    with pytest.raises(NoEndpoint):
        await app.ask("auth", exchange.copy())
    with pytest.raises(ValueError, match="no upstream 'nobody'; there are app, auth"):
        await app.ask("nobody", exchange.copy())
    await app.shutdown()


async def test_a_question_that_was_made_by_hand_has_a_host(asking):
    app, peer, _ = asking()
    assert (await app.ask("auth", Exchange(app, Request("GET", "/who")))).status == 200
    assert (peer.last.target, peer.last.header("host")) == (b"/who", b"auth")
    await app.shutdown()


async def test_the_path_that_a_question_was_given_is_asked_and_that_of_the_route_is_not(asking):
    app, peer, exchange = asking()
    copy = exchange.copy()
    copy.rewrite("/verify me")
    await app.ask("auth", copy)
    assert peer.last.target == b"/verify%20me?b=c"
    await app.ask("auth", exchange.copy())
    assert peer.last.target == b"/a?b=c"
    await app.shutdown()


async def test_a_question_that_fails_says_whom_it_was_for(asking):
    app, peer, exchange = asking()
    peer.close()
    with pytest.raises(GatewayError) as caught:
        await app.ask("auth", exchange.copy())
    assert caught.value.asked == "auth"
    await app.shutdown()


async def test_the_clients_own_exchange_is_refused_and_goes_where_it_went(asking):
    app, peer, exchange = asking()
    exchange.is_clients = True
    with pytest.raises(ValueError, match=r"exchange\.copy\(\)"):
        await app.ask("auth", exchange)
    assert (exchange.upstream.name, exchange.forwarded_path, peer.requests) == ("app", b"/rewritten", [])
