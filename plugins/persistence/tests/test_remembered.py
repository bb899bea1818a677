"""learned, header and source: how a session is recognised, and that it stays where it began."""

from __future__ import annotations

import pytest
from gateway_persistence import Persistence
from gateway_persistence.sessions import SessionHash
from gateway_persistence.source import ClientAddress
from hypothesis import given
from hypothesis import strategies as st

from gateway import EndpointState, UpstreamError
from gateway.config.model import EndpointSettings

HEADER = {"method": "header", "name": "X-Session"}
LEARNED = {"method": "learned", "name": "sid"}


def served(site, plugin, *fields, **options):
    return site.carry(plugin, *fields, **options)[0].attempts[-1].endpoint


@pytest.mark.parametrize(
    ("settings", "mine", "others"),
    [
        (HEADER, {"fields": [("x-session", "me")]}, {"fields": [("x-session", "you")]}),
        (LEARNED, {"fields": [("cookie", "a=1; sid=me")]}, {"fields": [("cookie", "sid=you")]}),
        ({"method": "source"}, {"client": "192.0.2.1"}, {"client": "192.0.2.2"}),
    ],
)
def test_the_first_pick_is_remembered(site, upstream, settings, mine, others):
    plugin = site.plugin(**settings)
    mine, others = [({**told}, told.pop("fields", [])) for told in (dict(mine), dict(others))]
    for (options, fields), picks in ((mine, 2), (others, 1)):
        options.pop("fields", None)
        assert served(site, plugin, *fields, picks=picks, **options) is upstream.endpoints[picks]
    for _ in range(3):
        assert served(site, plugin, *mine[1], **mine[0]) is upstream.endpoints[2]
        assert served(site, plugin, *others[1], **others[0]) is upstream.endpoints[1]
    assert len(plugin.store) == 2


@pytest.mark.parametrize(
    ("settings", "fields", "client"),
    [
        (HEADER, [], "192.0.2.1"),
        (HEADER, [("x-session", " ")], "192.0.2.1"),
        (LEARNED, [("cookie", "asid=1; sid=")], "192.0.2.1"),
        ({"method": "source"}, [], ""),
        ({"method": "source"}, [], "unknown"),
    ],
)
def test_what_belongs_to_no_session_is_balanced_and_not_remembered(site, upstream, settings, fields, client):
    plugin = site.plugin(**settings)
    for picks in (0, 1):
        assert served(site, plugin, *fields, picks=picks, client=client) is upstream.endpoints[picks]
    assert len(plugin.store) == 0


def test_the_value_that_the_application_sets_is_learned(site, upstream):
    plugin = site.plugin(**LEARNED)
    site.carry(plugin, picks=1, answer=[("set-cookie", "sid=new; Path=/")])
    assert served(site, plugin, ("cookie", "sid=new")) is upstream.endpoints[1]
    # After a login it has another one, from the same endpoint.
    site.carry(plugin, ("cookie", "sid=new"), answer=[("set-cookie", "sid=newer")])
    assert served(site, plugin, ("cookie", "sid=newer")) is upstream.endpoints[1]


def test_who_sets_a_known_value_has_the_session(site, upstream):
    plugin = site.plugin(**LEARNED)
    site.carry(plugin, picks=1, answer=[("set-cookie", "sid=x")])
    site.carry(plugin, picks=2, answer=[("set-cookie", "sid=x")])
    assert served(site, plugin, ("cookie", "sid=x")) is upstream.endpoints[2]


@pytest.mark.parametrize("state", [EndpointState.DOWN, EndpointState.MAINTENANCE])
def test_a_session_moves_for_good_when_its_endpoint_cannot_serve(site, upstream, tools, state):
    plugin = site.plugin(**HEADER)
    site.carry(plugin, ("x-session", "me"))
    tools.hold(upstream, 0, state)
    assert served(site, plugin, ("x-session", "me"), picks=1) is upstream.endpoints[2]
    tools.hold(upstream, 0, EndpointState.UP)
    assert served(site, plugin, ("x-session", "me")) is upstream.endpoints[2]


def test_a_session_moves_when_its_endpoint_is_gone_or_has_failed(site, upstream, tools):
    plugin = site.plugin(**HEADER)
    site.carry(plugin, ("x-session", "me"))
    exchange = site.exchange(("x-session", "me"))
    assert plugin.on_select(exchange, upstream.available) is upstream.endpoints[0]
    tools.attend(exchange, upstream.endpoints[0], UpstreamError("refused"))
    assert plugin.on_select(exchange, upstream.available[1:]) is None
    tools.attend(exchange, upstream.endpoints[1])
    plugin.on_response(exchange, None)
    assert served(site, plugin, ("x-session", "me")) is upstream.endpoints[1]
    upstream.set_endpoints([EndpointSettings(url="10.0.0.1:80"), EndpointSettings(url="10.0.0.9:80")])
    assert served(site, plugin, ("x-session", "me"), picks=1).name == "10.0.0.9:80"
    assert served(site, plugin, ("x-session", "me")).name == "10.0.0.9:80"


def test_a_draining_endpoint_and_one_of_weight_zero_keep_their_sessions(site, upstream, tools):
    plugin = site.plugin(**HEADER)
    for number in (0, 1):
        site.carry(plugin, ("x-session", f"{number}"), picks=number)
    tools.hold(upstream, 0, EndpointState.DRAINING)
    upstream.set_weight(upstream.endpoints[1], 0)
    for number in (0, 1):
        assert served(site, plugin, ("x-session", f"{number}")) is upstream.endpoints[number]


def test_a_failed_exchange_binds_nobody(site, upstream, tools):
    plugin = site.plugin(**HEADER)
    exchange = site.exchange(("x-session", "me"))
    tools.attend(exchange, upstream.endpoints[0], UpstreamError("no answer"))
    plugin.on_response(exchange, None)
    plugin.on_response(site.exchange(("x-session", "me")), None)
    assert len(plugin.store) == 0


def test_each_upstream_has_sessions_of_its_own(make_site, tools):
    site = make_site(tools.make_upstream("app"), tools.make_upstream("api"))
    plugin = site.plugin(**HEADER)
    for upstream, picks in (("app", 1), ("api", 2)):
        site.carry(plugin, ("x-session", "me"), picks=picks, upstream=upstream)
    for upstream, number in (("app", 1), ("api", 2)):
        exchange, _ = site.carry(plugin, ("x-session", "me"), upstream=upstream)
        assert exchange.attempts[-1].endpoint is exchange.upstream.endpoints[number]


@pytest.mark.parametrize(
    ("lengths", "one", "other", "is_same"),
    [
        ((32, 64), "192.0.2.1", "192.0.2.2", False),
        ((24, 64), "192.0.2.1", "192.0.2.200", True),
        ((24, 64), "192.0.2.1", "192.0.3.1", False),
        ((32, 64), "2001:db8::1", "2001:db8::ffff:1", True),
        ((32, 64), "2001:db8::1", "2001:db8:0:1::1", False),
        ((32, 128), "2001:db8::1", "2001:db8::2", False),
        ((32, 64), "2001:db8::1", "2001:0db8:0:0:0::1", True),
        ((32, 64), "::ffff:192.0.2.1", "192.0.2.1", True),
        ((32, 64), "::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ((8, 8), "32.1.1.1", "2001::1", False),
    ],
)
def test_addresses_that_share_a_prefix_are_one_session(site, lengths, one, other, is_same):
    key = ClientAddress(*lengths)
    found = [key.of_request(site.exchange(client=client)) for client in (one, other)]
    assert None not in found
    assert (found[0] == found[1]) is is_same


@given(st.text(max_size=40))
def test_no_address_is_too_odd(site, client):
    ClientAddress(32, 64).of_request(site.exchange(client=client))


def test_the_hash_hides_the_key_and_keeps_apart_what_is_different():
    config = Persistence.Config
    made = [
        SessionHash(settings)(upstream, key)
        for settings in (
            config(**HEADER),
            config(**HEADER, secret="a secret of the tests"),
            config(**HEADER, secret="the secret after that"),
            config(method="header", name="x-other"),
            config(**LEARNED),
        )
        for upstream, key in (("app", b"me"), ("app", b"you"), ("api", b"me"))
    ]
    assert len(set(made)) == 15
    assert all(len(key) == 32 and int(key, 16) for key in made)
    assert SessionHash(config(method="header", name="x-session"))("app", b"me") == made[0]
