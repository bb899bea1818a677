"""prefix: the application's cookie carries the endpoint, and the application does not know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import EndpointState, Response

SECRET = "a secret of the tests"
SET = [("set-cookie", "theme=dark"), ("set-cookie", "sid=abc=d; Path=/; HttpOnly")]


@pytest.fixture
def plugin(site):
    return site.plugin(method="prefix", name="sid", secret=SECRET)


def begin(site, plugin, picks=0) -> str:
    _, response = site.carry(plugin, picks=picks, answer=SET)
    theme, ours = response.headers.get_all("set-cookie")
    assert theme == b"theme=dark"
    assert ours.endswith(b"~abc=d; Path=/; HttpOnly")
    return ours.decode().partition(";")[0]


def test_the_client_brings_the_endpoint_back_and_the_application_sees_its_own_value(site, plugin, upstream):
    for number, endpoint in enumerate(upstream.endpoints):
        cookie = begin(site, plugin, number)
        assert "10.0.0" not in cookie
        exchange, _ = site.carry(plugin, ("cookie", f"a=1; {cookie}; b=2"))
        assert exchange.attempts[-1].endpoint is endpoint
        assert exchange.request.headers.get_all("cookie") == [b"a=1; sid=abc=d; b=2"]


def test_an_empty_value_and_other_cookies_are_left_alone(site, plugin):
    answer = [("set-cookie", "sid=; Max-Age=0"), ("set-cookie", "xsid=1"), ("set-cookie", "a=sid=1")]
    _, response = site.carry(plugin, answer=answer)
    assert [(name.decode(), value.decode()) for name, value in response.headers] == answer


@pytest.mark.parametrize("value", ["abc", "gw~", "gw~~abc", "gw~0123456789abcdef", "xgw~0123456789abcdef~abc", ""])
def test_a_value_without_a_prefix_goes_upstream_as_it_is(site, plugin, value):
    exchange, _ = site.carry(plugin, ("cookie", f"sid={value}"))
    assert exchange.request.headers.get("cookie") == f"sid={value}".encode()


def test_a_prefix_that_is_not_ours_is_taken_away_all_the_same(site, plugin):
    exchange, _ = site.carry(plugin, ("cookie", f"sid=gw~{'0' * 16}~abc"))
    assert exchange.request.headers.get("cookie") == b"sid=abc"


@given(st.binary(max_size=80))
def test_whatever_a_client_or_an_application_sends_is_taken(site, value):
    plugin = site.plugin(method="prefix", name="sid", secret=SECRET)
    exchange = site.exchange()
    exchange.request.headers.raw.append((b"cookie", b"sid=gw~" + value))
    plugin.on_request(exchange)
    plugin.on_select(exchange, exchange.upstream.available)
    exchange, response = site.exchange(), Response()
    response.headers.raw.append((b"set-cookie", b"sid=" + value))
    plugin.on_response(exchange, response)
    assert response.headers.get("set-cookie") == b"sid=" + value


def test_the_previous_secret_is_accepted(site, plugin, upstream):
    cookie = begin(site, plugin, 1)
    later = site.plugin(method="prefix", name="sid", secret="another secret now", previous_secret=SECRET)
    exchange, _ = site.carry(later, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is upstream.endpoints[1]


def test_while_its_endpoint_is_down_a_session_has_another_one_always_the_same(site, plugin, upstream, tools):
    cookie = begin(site, plugin, 0)
    tools.hold(upstream, 0, EndpointState.DOWN)
    exchanges = [site.carry(plugin, ("cookie", cookie), picks=picks)[0] for picks in (0, 1, 0, 1)]
    chosen = {exchange.attempts[-1].endpoint for exchange in exchanges}
    assert len(chosen) == 1
    _, response = site.carry(plugin, ("cookie", cookie), answer=SET)
    moved = response.headers.get_all("set-cookie")[1].decode().partition(";")[0]
    tools.hold(upstream, 0, EndpointState.UP)
    assert {site.carry(plugin, ("cookie", moved))[0].attempts[-1].endpoint} == chosen


def test_a_draining_endpoint_keeps_its_sessions(site, plugin, upstream, tools):
    cookie = begin(site, plugin, 1)
    tools.hold(upstream, 1, EndpointState.DRAINING)
    exchange, _ = site.carry(plugin, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is upstream.endpoints[1]


def test_a_response_that_no_endpoint_gave_is_left_alone(site, plugin):
    response = Response(200, SET)
    plugin.on_response(site.exchange(), response)
    assert response.headers.get_all("set-cookie")[1] == SET[1][1].encode()
