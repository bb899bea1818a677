"""An upstream: who may be picked, when that changes, and whether another try is affordable."""

from __future__ import annotations

import asyncio

import pytest

from gateway import EndpointState, Upstream
from gateway.config import model as config
from gateway.upstream.balancer import First
from gateway.upstream.ticker import Ticker

UP, DOWN, DRAINING = EndpointState.UP, EndpointState.DOWN, EndpointState.DRAINING


def upstream(*endpoints: object, **settings: object) -> Upstream:
    endpoints = endpoints or tuple(f"http://10.0.0.{number}:80" for number in (1, 2, 3))
    return Upstream("app", config.Upstream.model_validate({"endpoints": endpoints, **settings}), First(), Ticker())


def test_all_endpoints_begin_available():
    app = upstream()
    assert app.available == app.endpoints
    assert [endpoint.name for endpoint in app.endpoints] == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]


@pytest.mark.parametrize("state", [DOWN, DRAINING, EndpointState.MAINTENANCE])
def test_only_endpoints_that_are_up_may_be_picked(state):
    app = upstream()
    one, two, three = app.endpoints
    app.mark(two, "test", state, "test")
    assert app.available == (one, three)
    app.mark(two, "test", UP, "test")
    assert app.available == (one, two, three)


def test_the_candidates_are_the_same_object_until_something_changes():
    app = upstream()
    before = app.available
    app.mark(app.endpoints[0], "test", UP, "still")
    assert app.available is before
    app.mark(app.endpoints[0], "test", DOWN, "refused")
    assert app.available is not before


def test_an_endpoint_of_weight_zero_is_not_picked():
    app = upstream("http://a", {"url": "http://b", "weight": 0})
    assert [endpoint.name for endpoint in app.available] == ["a:80"]
    app.set_weight(app.endpoints[1], 1)
    assert len(app.available) == 2


def test_a_change_is_told_once():
    app, told = upstream(), []
    app.on_change = lambda *change: told.append(change)
    endpoint = app.endpoints[0]
    app.mark(endpoint, "test", DOWN, "refused")
    app.mark(endpoint, "test", DOWN, "refused again")
    assert told == [(endpoint, UP, DOWN, "refused")]


def test_nobody_available_says_who_there_is_and_why_not():
    app = upstream()
    one, two, three = app.endpoints
    for endpoint, state in ((one, DOWN), (two, DOWN), (three, DRAINING)):
        app.mark(endpoint, "test", state, "test")
    error = app.nobody()
    assert str(error) == "upstream 'app': no endpoint available (3 known: 1 draining, 2 down)"
    assert error.status == 503


def test_the_repr_counts_states_and_exchanges():
    app = upstream()
    app.mark(app.endpoints[0], "test", DRAINING, "test")
    app.in_flight = app.endpoints[1].in_flight = 14
    assert repr(app) == "<Upstream app: 2 up, 1 draining, 14 in flight>"
    assert repr(app.endpoints[1]) == "<Endpoint 10.0.0.2:80: up, weight 1, 14 in flight>"


class TestMarks:
    def test_the_worst_of_what_is_said_holds(self):
        app = upstream()
        endpoint = app.endpoints[0]
        app.mark(endpoint, "checks", DOWN, "refused")
        app.mark(endpoint, "operator", EndpointState.MAINTENANCE, "new disk")
        assert endpoint.state is EndpointState.MAINTENANCE
        app.mark(endpoint, "operator", UP, "")
        assert endpoint.state is DOWN
        app.mark(endpoint, "operator", DRAINING, "soon")
        assert endpoint.state is DOWN
        app.mark(endpoint, "checks", UP, "")
        assert endpoint.state is DRAINING
        app.mark(endpoint, "operator", UP, "")
        assert (endpoint.state, endpoint.marks) == (UP, {})

    def test_a_draining_endpoint_keeps_its_sessions(self):
        app = upstream()
        kept = []
        for state in EndpointState:
            app.mark(app.endpoints[0], "test", state, "test")
            kept.append(app.endpoints[0].keeps_sessions)
        assert kept == [True, True, False, False]


class TestSlowStart:
    async def test_an_endpoint_that_came_back_climbs_to_its_weight(self):
        app = upstream({"url": "http://a", "weight": 3}, "http://b", slow_start="20ms")
        first, second = app.endpoints
        seen = []
        app.mark(first, "test", DOWN, "refused")
        app.mark(first, "test", UP, "answers")
        deadline = asyncio.get_running_loop().time() + 5
        while not seen or seen[-1] != (3, 1):
            if not seen or seen[-1] != (first.weight, second.weight):
                seen.append((first.weight, second.weight))
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.001)
        assert seen[0] == (3, 10)
        shares = [ours / theirs for ours, theirs in seen]
        assert shares == sorted(shares)
        assert len(seen) > 2

    async def test_one_that_was_only_draining_does_not(self):
        app = upstream(slow_start="1h")
        app.mark(app.endpoints[0], "test", DRAINING, "test")
        app.mark(app.endpoints[0], "test", UP, "test")
        assert [endpoint.weight for endpoint in app.endpoints] == [1, 1, 1]

    async def test_one_that_goes_down_again_ends_it(self):
        app = upstream(slow_start="1h")
        for state in (DOWN, UP, DOWN):
            app.mark(app.endpoints[0], "test", state, "test")
        assert [endpoint.weight for endpoint in app.endpoints] == [1, 1, 1]


class TestNewEndpoints:
    def settings(self, *urls: str, **more: object) -> list[config.EndpointSettings]:
        return [config.EndpointSettings.model_validate({"url": url, **more}) for url in urls]

    def test_those_that_stay_are_the_same_objects_with_their_state(self):
        app = upstream("http://a", "http://b")
        first, second = app.endpoints
        app.mark(second, "test", DOWN, "refused")
        app.set_endpoints(self.settings("http://b", "http://c", weight=5))
        assert [endpoint.host for endpoint in app.endpoints] == ["b", "c"]
        assert app.endpoints[0] is second
        assert second.base_weight == 5
        assert app.available == app.endpoints[1:]
        assert first.pool.is_closed
        assert not second.pool.is_closed
        assert app.find("c:80") is app.endpoints[1]
        assert app.find("a:80") is None

    def test_one_that_comes_again_begins_anew(self):
        app = upstream("http://a", "http://b")
        before = app.endpoints[0]
        app.set_endpoints(self.settings("http://b"))
        app.set_endpoints(self.settings("http://a", "http://b"))
        assert app.endpoints[0] is not before
        assert not app.endpoints[0].pool.is_closed

    def test_there_may_be_none(self):
        app = upstream("http://a")
        app.set_endpoints([])
        assert app.available == ()
        assert str(app.nobody()) == "upstream 'app': no endpoint available (none known)"


class TestRetryBudget:
    def test_an_upstream_without_traffic_affords_a_few(self):
        app = upstream(retries={"budget": 0})
        assert [app.spend_retry() for _ in range(11)] == [True] * 10 + [False]

    def test_traffic_earns_its_share(self):
        app = upstream(retries={"budget": 0.25})
        while app.spend_retry():
            pass
        for _ in range(3):
            app.admit()
        assert not app.spend_retry()
        app.admit()
        assert [app.spend_retry(), app.spend_retry()] == [True, False]

    def test_long_traffic_earns_no_more_than_a_hundred(self):
        app = upstream(retries={"budget": 1})
        for _ in range(1000):
            app.admit()
        spent = 0
        while app.spend_retry():
            spent += 1
        assert spent == 100

    def test_retries_are_a_share_of_the_traffic(self):
        app = upstream(retries={"budget": 0.2})
        spent = 0
        for _ in range(1000):
            app.admit()
            spent += app.spend_retry()
        assert 200 <= spent <= 210


def test_the_core_brings_the_first_available(make_exchange):
    app = upstream()
    assert First().choose(make_exchange(), app.available) is app.endpoints[0]


def test_an_endpoint_knows_host_and_port():
    tcp, unix = upstream("http://[::1]:9", "unix:/run/a.sock").endpoints
    assert (tcp.host, tcp.port, tcp.name) == ("::1", 9, "[::1]:9")
    assert (unix.host, unix.port, unix.name) == ("", 0, "unix:/run/a.sock")
