"""cookie: who is bound to whom, when it is set, and that nothing but our own is believed."""

from __future__ import annotations

import re

import pytest
from gateway_persistence import CookieSessions, Persistence
from gateway_persistence.cookie import default_name
from hypothesis import given
from hypothesis import strategies as st

from gateway import EndpointState, Response, UpstreamError

SECRET, NEXT_SECRET = "a secret of the tests", "the secret after that"
NAME = default_name("app").decode()


def cookie_of(response) -> str:
    """The one cookie that a response sets, as a client sends it back."""
    (value,) = response.headers.get_all("set-cookie")
    return value.decode().partition(";")[0]


def begin(site, plugin, picks=0):
    """A new session at the endpoint number `picks`: its cookie."""
    return cookie_of(site.carry(plugin, picks=picks)[1])


def test_a_new_session_gets_a_cookie_and_stays_where_it_is(site, upstream):
    plugin = site.plugin(secret=SECRET)
    for number, endpoint in enumerate(upstream.endpoints):
        cookie = begin(site, plugin, number)
        exchange, response = site.carry(plugin, ("cookie", cookie))
        assert exchange.attempts[-1].endpoint is endpoint
        assert "set-cookie" not in response.headers


def test_the_endpoint_cannot_be_read_and_does_not_see_the_cookie(site):
    plugin = site.plugin(secret=SECRET)
    cookie = begin(site, plugin)
    assert re.fullmatch(rf"{NAME}=[0-9a-f]{{56}}", cookie)
    exchange, _ = site.carry(plugin, ("cookie", f"a=1; {cookie}; b=2"))
    assert exchange.request.headers.get_all("cookie") == [b"a=1; b=2"]
    exchange, _ = site.carry(plugin, ("cookie", cookie))
    assert "cookie" not in exchange.request.headers


@pytest.mark.parametrize(
    ("settings", "scheme", "attributes"),
    [
        ({}, "http", "Path=/; Max-Age=28800; HttpOnly; SameSite=Lax"),
        ({}, "https", "Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure"),
        ({"ttl": 0, "secure": "always"}, "http", "Path=/; HttpOnly; SameSite=Lax; Secure"),
        (
            {"path": "/app", "domain": "example.com", "http_only": False, "same_site": "", "secure": "never"},
            "https",
            "Path=/app; Domain=example.com; Max-Age=28800",
        ),
        (
            {"same_site": "none", "secure": "always", "ttl": 60},
            "wss",
            "Path=/; Max-Age=60; HttpOnly; SameSite=None; Secure",
        ),
    ],
)
def test_attributes(site, settings, scheme, attributes):
    _, response = site.carry(site.plugin(secret=SECRET, **settings), scheme=scheme)
    assert response.headers.text("set-cookie").partition("; ")[2] == attributes


def test_the_name_can_be_chosen(site):
    plugin = site.plugin(secret=SECRET, name="SRV")
    cookie = begin(site, plugin, 2)
    assert cookie.startswith("SRV=")
    exchange, _ = site.carry(plugin, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[2]


def test_other_cookies_of_the_response_stay(site):
    _, response = site.carry(site.plugin(secret=SECRET), answer=[("set-cookie", "a=1"), ("set-cookie", "b=2")])
    assert response.headers.get_all("set-cookie")[:2] == [b"a=1", b"b=2"]
    assert len(response.headers.get_all("set-cookie")) == 3


@given(st.binary(max_size=200))
def test_whatever_a_client_sends_is_taken_without_a_word(site, value):
    plugin = site.plugin(secret=SECRET)
    exchange = site.exchange()
    exchange.request.headers.raw.append((b"cookie", NAME.encode() + b"=" + value))
    plugin.on_request(exchange)
    assert plugin.bound(exchange) is None


@given(st.data())
def test_a_forged_cookie_is_never_accepted(site, data):
    plugin = site.plugin(secret=SECRET)
    cookie = begin(site, plugin, 1).encode()
    place = data.draw(st.integers(len(NAME) + 1, len(cookie) - 1))
    byte = data.draw(st.sampled_from(b"0123456789abcdefABCDEF_ +").filter(lambda byte: byte != cookie[place]))
    forged = cookie[:place] + bytes([byte]) + cookie[place + 1 :]
    exchange, response = site.carry(plugin, ("cookie", forged))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[0]
    assert NAME in cookie_of(response)


def test_a_cookie_of_another_upstream_or_another_secret_says_nothing(make_site, tools):
    site = make_site(tools.make_upstream("app"), tools.make_upstream("api"))
    plugin, other = site.plugin(secret=SECRET, name="SRV"), site.plugin(secret=NEXT_SECRET, name="SRV")
    cookie = begin(site, plugin, 1)
    for carrier, upstream in ((plugin, "api"), (other, "app")):
        exchange = site.exchange(("cookie", cookie), upstream=upstream)
        carrier.on_request(exchange)
        assert carrier.bound(exchange) is None


def test_upstreams_do_not_overwrite_each_others_cookies(make_site, tools):
    site = make_site(tools.make_upstream("app"), tools.make_upstream("api"))
    plugin = site.plugin(secret=SECRET)
    app = cookie_of(site.carry(plugin, picks=1)[1])
    api = cookie_of(site.carry(plugin, picks=2, upstream="api")[1])
    for upstream, number in (("app", 1), ("api", 2)):
        exchange, response = site.carry(plugin, ("cookie", f"{api}; {app}"), upstream=upstream)
        assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[number]
        assert "cookie" not in exchange.request.headers
        assert "set-cookie" not in response.headers


def test_the_upstream_may_be_chosen_after_the_cookie_was_taken_out(make_site, tools):
    site = make_site(tools.make_upstream("app"), tools.make_upstream("api"))
    plugin = site.plugin(secret=SECRET)
    cookie = cookie_of(site.carry(plugin, picks=2, upstream="api")[1])
    exchange = site.exchange(("cookie", cookie), upstream="app")
    plugin.on_request(exchange)
    exchange.upstream = site.upstreams["api"]
    assert plugin.on_select(exchange, exchange.upstream.available) is exchange.upstream.endpoints[2]


def test_of_several_cookies_the_first_genuine_one_counts(site):
    plugin = site.plugin(secret=SECRET)
    real = begin(site, plugin, 2)
    exchange, _ = site.carry(plugin, ("cookie", f"{NAME}=x; {NAME}={'0' * 56}; {real}"))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[2]


def test_a_cookie_is_renewed_in_the_second_half_of_its_time_and_ignored_after_it(site, clock):
    plugin = CookieSessions(Persistence.Config(secret=SECRET, ttl=100), clock)
    plugin.startup(site.app)
    cookie = begin(site, plugin, 1)
    clock.now += 49
    assert "set-cookie" not in site.carry(plugin, ("cookie", cookie))[1].headers
    clock.now += 2
    exchange, response = site.carry(plugin, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[1]
    renewed = cookie_of(response)
    clock.now += 50
    exchange, _ = site.carry(plugin, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[0]
    exchange, _ = site.carry(plugin, ("cookie", renewed))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[1]


def test_without_a_time_to_live_it_never_grows_old(site, clock):
    plugin = CookieSessions(Persistence.Config(secret=SECRET, ttl=0), clock)
    plugin.startup(site.app)
    cookie = begin(site, plugin, 1)
    clock.now += 10 * 365 * 86400
    exchange, response = site.carry(plugin, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[1]
    assert "set-cookie" not in response.headers


def test_a_cookie_made_with_the_previous_secret_is_accepted_and_replaced(site):
    cookie = begin(site, site.plugin(secret=SECRET), 2)
    plugin = site.plugin(secret=NEXT_SECRET, previous_secret=SECRET)
    exchange, response = site.carry(plugin, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[2]
    later = site.plugin(secret=NEXT_SECRET)
    exchange, response = site.carry(later, ("cookie", cookie_of(response)))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[2]
    assert "set-cookie" not in response.headers
    exchange, _ = site.carry(later, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[0]


def test_what_the_clock_says_does_not_matter_to_a_cookie_from_a_faster_one(site, clock):
    plugin = CookieSessions(Persistence.Config(secret=SECRET, ttl=100), clock)
    plugin.startup(site.app)
    cookie = begin(site, plugin, 1)
    clock.now -= 1000
    exchange, _ = site.carry(plugin, ("cookie", cookie))
    assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[1]


@pytest.mark.parametrize("state", [EndpointState.DOWN, EndpointState.MAINTENANCE])
def test_a_session_moves_when_its_endpoint_cannot_serve_and_does_not_come_back(site, upstream, tools, state):
    plugin = site.plugin(secret=SECRET)
    cookie = begin(site, plugin, 0)
    tools.hold(upstream, 0, state)
    exchange, response = site.carry(plugin, ("cookie", cookie), picks=1)
    assert exchange.attempts[-1].endpoint is upstream.endpoints[2]
    moved = cookie_of(response)
    tools.hold(upstream, 0, EndpointState.UP)
    exchange, response = site.carry(plugin, ("cookie", moved))
    assert exchange.attempts[-1].endpoint is upstream.endpoints[2]
    assert "set-cookie" not in response.headers


def test_a_draining_endpoint_and_one_of_weight_zero_keep_their_sessions(site, upstream, tools):
    plugin = site.plugin(secret=SECRET)
    cookies = [begin(site, plugin, number) for number in (0, 1)]
    tools.hold(upstream, 0, EndpointState.DRAINING)
    upstream.set_weight(upstream.endpoints[1], 0)
    assert upstream.available == upstream.endpoints[2:]
    for number, cookie in enumerate(cookies):
        exchange, response = site.carry(plugin, ("cookie", cookie))
        assert exchange.attempts[-1].endpoint is upstream.endpoints[number]
        assert "set-cookie" not in response.headers


def test_in_a_panic_a_session_stays_with_an_endpoint_that_is_said_to_be_down(site, upstream, tools):
    plugin = site.plugin(secret=SECRET)
    cookie = begin(site, plugin, 1)
    tools.hold(upstream, 1, EndpointState.DOWN)
    exchange = site.exchange(("cookie", cookie))
    plugin.on_request(exchange)
    assert plugin.on_select(exchange, upstream.endpoints) is upstream.endpoints[1]
    assert plugin.on_select(exchange, upstream.available) is None


def test_an_endpoint_that_failed_in_this_exchange_is_not_selected_again(site, upstream, tools):
    plugin = site.plugin(secret=SECRET)
    exchange = site.exchange(("cookie", begin(site, plugin, 0)))
    plugin.on_request(exchange)
    assert plugin.on_select(exchange, upstream.available) is upstream.endpoints[0]
    tools.attend(exchange, upstream.endpoints[0], UpstreamError("refused"))
    assert plugin.on_select(exchange, upstream.available[1:]) is None
    tools.attend(exchange, upstream.endpoints[1])
    response = Response()
    plugin.on_response(exchange, response)
    following, _ = site.carry(plugin, ("cookie", cookie_of(response)))
    assert following.attempts[-1].endpoint is upstream.endpoints[1]


def test_a_session_whose_endpoint_was_merely_overtaken_stays(site, upstream, tools):
    plugin = site.plugin(secret=SECRET)
    exchange = site.exchange(("cookie", begin(site, plugin, 0)))
    plugin.on_request(exchange)
    plugin.on_select(exchange, upstream.available)
    tools.attend(exchange, upstream.endpoints[0]).status = None
    tools.attend(exchange, upstream.endpoints[1])
    response = Response()
    plugin.on_response(exchange, response)
    assert "set-cookie" not in response.headers


def test_nothing_is_set_on_what_no_endpoint_answered(site, upstream, tools):
    plugin = site.plugin(secret=SECRET)
    for fail in (False, True):
        exchange = site.exchange()
        plugin.on_request(exchange)
        if fail:
            tools.attend(exchange, upstream.endpoints[0], UpstreamError("no answer"))
        response = Response(502)
        plugin.on_response(exchange, response)
        assert "set-cookie" not in response.headers


def test_another_plugin_may_have_selected_without_ours_being_asked(site, upstream, tools):
    plugin = site.plugin(secret=SECRET)
    for number, is_set in ((1, False), (2, True)):
        exchange = site.exchange(("cookie", begin(site, plugin, 1)))
        plugin.on_request(exchange)
        tools.attend(exchange, upstream.endpoints[number])
        response = Response()
        plugin.on_response(exchange, response)
        assert ("set-cookie" in response.headers) is is_set


def test_before_the_random_secret_is_there_cookies_are_taken_out_and_not_set(make_site, upstream):
    site = make_site(upstream, worker=1)
    plugin = site.plugin()
    exchange, response = site.carry(plugin, ("cookie", f"{NAME}={'a' * 56}; b=2"))
    assert exchange.request.headers.get("cookie") == b"b=2"
    assert "set-cookie" not in response.headers
    make_site(upstream, bus=site.bus).plugin()
    assert cookie_of(site.carry(plugin)[1])
