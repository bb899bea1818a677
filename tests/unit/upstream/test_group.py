"""An upstream: who may be picked, when that changes, and whether another try is affordable."""

from __future__ import annotations

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
    app.set_state(two, state, "test")
    assert app.available == (one, three)
    app.set_state(two, UP, "test")
    assert app.available == (one, two, three)


def test_the_candidates_are_the_same_object_until_something_changes():
    app = upstream()
    before = app.available
    app.set_state(app.endpoints[0], UP, "still")
    assert app.available is before
    app.set_state(app.endpoints[0], DOWN, "refused")
    assert app.available is not before


def test_an_endpoint_of_weight_zero_is_not_picked():
    app = upstream("http://a", {"url": "http://b", "weight": 0})
    assert [endpoint.name for endpoint in app.available] == ["a:80"]
    app.endpoints[1].weight = 1
    app.refresh()
    assert len(app.available) == 2


def test_a_change_is_told_once():
    app, told = upstream(), []
    app.on_change = lambda *change: told.append(change)
    endpoint = app.endpoints[0]
    app.set_state(endpoint, DOWN, "refused")
    app.set_state(endpoint, DOWN, "refused again")
    assert told == [(endpoint, UP, DOWN, "refused")]


def test_nobody_available_says_who_there_is_and_why_not():
    app = upstream()
    one, two, three = app.endpoints
    for endpoint, state in ((one, DOWN), (two, DOWN), (three, DRAINING)):
        app.set_state(endpoint, state, "test")
    error = app.nobody()
    assert str(error) == "upstream 'app': no endpoint available (3 known: 2 down, 1 draining)"
    assert error.status == 503


def test_the_repr_counts_states_and_exchanges():
    app = upstream()
    app.set_state(app.endpoints[0], DRAINING, "test")
    app.endpoints[1].in_flight = 14
    assert repr(app) == "<Upstream app: 2 up, 1 draining, 14 in flight>"
    assert repr(app.endpoints[1]) == "<Endpoint 10.0.0.2:80: up, weight 1, 14 in flight>"


class TestRetryBudget:
    def test_an_upstream_without_traffic_affords_a_few(self):
        app = upstream(retries={"budget": 0})
        assert [app.spend_retry() for _ in range(11)] == [True] * 10 + [False]

    def test_traffic_earns_its_share(self):
        app = upstream(retries={"budget": 0.25})
        while app.spend_retry():
            pass
        for _ in range(3):
            app.earn_retry()
        assert not app.spend_retry()
        app.earn_retry()
        assert [app.spend_retry(), app.spend_retry()] == [True, False]

    def test_long_traffic_earns_no_more_than_a_hundred(self):
        app = upstream(retries={"budget": 1})
        for _ in range(1000):
            app.earn_retry()
        spent = 0
        while app.spend_retry():
            spent += 1
        assert spent == 100

    def test_retries_are_a_share_of_the_traffic(self):
        app = upstream(retries={"budget": 0.2})
        spent = 0
        for _ in range(1000):
            app.earn_retry()
            spent += app.spend_retry()
        assert 200 <= spent <= 210


def test_the_core_brings_the_first_available(make_exchange):
    app = upstream()
    assert First().choose(make_exchange(), app.available) is app.endpoints[0]


def test_an_endpoint_knows_host_and_port():
    tcp, unix = upstream("http://[::1]:9", "unix:/run/a.sock").endpoints
    assert (tcp.host, tcp.port, tcp.name) == ("::1", 9, "[::1]:9")
    assert (unix.host, unix.port, unix.name) == ("", 0, "unix:/run/a.sock")
