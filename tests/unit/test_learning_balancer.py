"""A balancer with a method `ended` is told of every attempt, and can do no harm to the exchange."""

from __future__ import annotations

import logging

import pytest

from gateway import Attempt, Headers, Upstream, UpstreamError
from gateway.config import model as config
from gateway.forward import end_attempt
from gateway.pipeline import Pipeline
from gateway.routing import Route
from gateway.upstream.balancer import First
from gateway.upstream.ticker import Ticker


class Learning(First):
    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[tuple[Attempt, float, object]] = []
        self._error = error

    def ended(self, attempt: Attempt) -> None:
        self.seen.append((attempt, attempt.ended, attempt.error))
        if self._error is not None:
            raise self._error


@pytest.fixture
def attempt_at(make_exchange):
    """`attempt_at(balancer)`: an exchange under way at an endpoint that this balancer chose, and its attempt."""

    def make(balancer):
        upstream = Upstream("app", config.Upstream.model_validate({"endpoints": ["http://a"]}), balancer, Ticker())
        exchange = make_exchange()
        exchange.route, exchange.upstream = Route(config.Route(upstream="app"), Pipeline(), upstream), upstream
        attempt = Attempt(1, upstream.endpoints[0], Headers())
        attempt.endpoint.in_flight = 1
        return exchange, attempt

    return make


@pytest.mark.parametrize("error", [None, UpstreamError("cut")])
def test_it_is_told_how_an_attempt_ended_and_when(attempt_at, error):
    balancer = Learning()
    exchange, attempt = attempt_at(balancer)
    end_attempt(exchange, attempt, error)
    assert balancer.seen == [(attempt, attempt.ended, error)]
    assert attempt.ended >= attempt.started


def test_one_that_fails_is_logged_and_disturbs_nothing(attempt_at, caplog):
    exchange, attempt = attempt_at(Learning(ZeroDivisionError("learning")))
    with caplog.at_level(logging.ERROR, "gateway.upstream"):
        end_attempt(exchange, attempt, None)
    assert "balancer 'first' of upstream 'app' failed to learn from <Attempt 1 at a:80" in caplog.text
    assert attempt.endpoint.in_flight == 0


def test_one_without_the_method_is_not_told(attempt_at):
    exchange, attempt = attempt_at(First())
    assert exchange.upstream.tell_balancer is None
    end_attempt(exchange, attempt, None)
    assert attempt.endpoint.in_flight == 0
