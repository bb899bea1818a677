"""least-time: what is learnt from attempts, how it fades, and what a failure costs."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from gateway_balancing import LeastTime
from hypothesis import given
from hypothesis import strategies as st

from gateway import Attempt, ClientError, Headers, UpstreamError


class Closed(UpstreamError):
    condition = "closed"


class Learner:
    """A balancer with a clock that is set by hand."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.balancer = LeastTime(LeastTime.Config(**settings), lambda: self.now, random.Random(7).random)

    def choose(self, exchange: Any, candidates: tuple[Any, ...]) -> str:
        return self.balancer.choose(exchange, candidates).name

    def learn(
        self, endpoint: Any, seconds: float, status: int | None = 200, error: Any = None, **facts: Any
    ) -> None:
        """Let an attempt end now that took so long; `head` is the time to the head of its response."""
        attempt = Attempt(1, endpoint, Headers())
        attempt.started, attempt.ended = self.now - seconds, self.now
        attempt.status, attempt.error = status, error
        if "head" in facts:
            attempt.answered = attempt.started + facts.pop("head")
        for name, value in facts.items():
            setattr(attempt, name, value)
        self.balancer.ended(attempt)


@pytest.fixture
def learner() -> Learner:
    return Learner(decay="10s", penalty="1s")


@pytest.fixture
def pair(endpoints, exchange, learner):
    """Two endpoints that the learner knows, a fast one and one of which nothing is known."""
    candidates = endpoints(1, 1)
    learner.choose(exchange, candidates)
    learner.learn(candidates[0], 0.010)
    return candidates


def test_the_faster_one_is_taken(pair, exchange, learner):
    learner.learn(pair[1], 0.020)
    assert {learner.choose(exchange, pair) for _ in range(20)} == {"a"}


def test_load_counts_as_much_as_time(pair, exchange, learner):
    learner.learn(pair[1], 0.025)
    pair[0].in_flight = 1
    assert learner.choose(exchange, pair) == "a"
    pair[0].in_flight = 2
    assert learner.choose(exchange, pair) == "b"


def test_weight_divides_the_cost(endpoints, exchange, learner):
    candidates = endpoints(1, 3)
    learner.choose(exchange, candidates)
    learner.learn(candidates[0], 0.010)
    learner.learn(candidates[1], 0.020)
    assert {learner.choose(exchange, candidates) for _ in range(20)} == {"b"}


def test_an_unknown_one_gets_one_exchange_and_no_more_until_it_is_answered(pair, exchange, learner):
    assert learner.choose(exchange, pair) == "b"
    pair[1].in_flight = 1
    assert {learner.choose(exchange, pair) for _ in range(20)} == {"a"}
    pair[0].in_flight = 50
    assert learner.choose(exchange, pair) == "a"


def test_while_all_are_unknown_load_decides(endpoints, exchange, learner):
    candidates = endpoints(1, 1, 1, 1)
    for _ in range(40):
        learner.balancer.choose(exchange, candidates).in_flight += 1
    assert all(6 <= one.in_flight <= 14 for one in candidates)


def test_a_slower_response_is_believed_at_once_and_a_faster_one_by_and_by(pair, exchange, learner):
    learner.learn(pair[1], 0.005)
    assert learner.choose(exchange, pair) == "b"
    learner.learn(pair[1], 1.0)
    assert learner.choose(exchange, pair) == "a"
    learner.learn(pair[1], 0.005)
    assert learner.choose(exchange, pair) == "a"
    for _ in range(100):
        learner.now += 1
        learner.learn(pair[0], 0.010)
        learner.learn(pair[1], 0.005)
    assert learner.choose(exchange, pair) == "b"


def test_one_that_was_slow_is_tried_again_by_one_exchange_at_a_time(pair, exchange, learner):
    learner.learn(pair[1], 0.1)
    begin = learner.now
    while learner.choose(exchange, pair) == "a":
        learner.now += 1
        learner.learn(pair[0], 0.010)
    assert 22 <= learner.now - begin <= 25  # 10 s · ln(0.1 / 0.01) = 23 s
    pair[1].in_flight = 1
    assert {learner.choose(exchange, pair) for _ in range(20)} == {"a"}


@pytest.mark.parametrize(
    ("status", "error"), [(500, None), (503, None), (None, UpstreamError("refused")), (200, UpstreamError("cut"))]
)
def test_a_failure_counts_as_slow_however_fast_it_is(pair, exchange, learner, status, error):
    learner.learn(pair[1], 0.001, status, error)
    assert {learner.choose(exchange, pair) for _ in range(20)} == {"a"}


def test_a_failure_that_took_longer_counts_as_long_as_it_took(endpoints, exchange, learner):
    candidates = endpoints(1, 1)
    learner.choose(exchange, candidates)
    learner.learn(candidates[0], 5.0, None, UpstreamError("timeout"))
    learner.learn(candidates[1], 0.001, None, UpstreamError("refused"))
    assert learner.choose(exchange, candidates) == "b"


@pytest.mark.parametrize("status", [200, 304, 404, 429])
def test_other_statuses_are_no_failures(pair, exchange, learner, status):
    learner.learn(pair[1], 0.005, status)
    assert learner.choose(exchange, pair) == "b"


def test_a_kept_connection_that_had_ended_says_nothing(pair, exchange, learner):
    learner.learn(pair[1], 0.005)
    learner.learn(pair[1], 0.001, None, Closed("stale"), is_reused=True)
    assert learner.choose(exchange, pair) == "b"
    learner.learn(pair[1], 0.001, None, Closed("closed"), is_reused=False)
    assert learner.choose(exchange, pair) == "a"


@pytest.mark.parametrize("error", [None, ClientError("left")])
def test_an_attempt_that_was_given_up_took_at_least_so_long(pair, exchange, learner, error):
    learner.learn(pair[1], 0.005)
    learner.learn(pair[1], 0.001, None, error)
    assert learner.choose(exchange, pair) == "b"
    learner.learn(pair[1], 3.0, None, error)
    assert learner.choose(exchange, pair) == "a"


def test_the_time_is_that_to_the_head_of_the_response(pair, exchange, learner):
    """A download of a minute, or a tunnel of an hour, is not a slow answer."""
    learner.learn(pair[1], 60.0, head=0.005)
    assert learner.choose(exchange, pair) == "b"
    learner.learn(pair[1], 3600.0, 101, head=0.005)
    assert learner.choose(exchange, pair) == "b"


def test_an_attempt_at_a_stranger_is_passed_over(pair, endpoints, exchange, learner):
    learner.learn(endpoints(1)[0], 9.0)
    assert learner.choose(exchange, pair) in "ab"


def test_what_is_known_outlives_a_change_of_the_endpoints(pair, endpoints, exchange, learner):
    learner.learn(pair[1], 0.020)
    (fresh,) = endpoints(1)
    fresh.name, fresh.in_flight = "new", 1
    candidates = (*pair, fresh)
    assert {learner.choose(exchange, candidates) for _ in range(100)} == {"a", "b"}
    assert {learner.choose(exchange, (*pair,)) for _ in range(20)} == {"a"}


def test_those_that_are_gone_are_forgotten(endpoints, exchange, learner):
    for _ in range(50):
        learner.choose(exchange, endpoints(1, 1))
    assert len(learner.balancer._times) == 2


def test_a_further_attempt_goes_by_time_too(endpoints, exchange, retried, learner):
    candidates = endpoints(1, 1, 1)
    learner.choose(exchange, candidates)
    for one, seconds in zip(candidates, (0.01, 0.02, 2.0), strict=True):
        learner.learn(one, seconds)
    counts = Counter(learner.choose(retried, candidates[1:]) for _ in range(400))
    assert counts["b"] > 2 * counts["c"]
    assert learner.choose(exchange, candidates) in "ab"


def test_a_further_attempt_that_comes_first_of_all_gets_an_endpoint(endpoints, retried, learner):
    assert learner.choose(retried, endpoints(1, 1)) in "ab"


@given(
    weights=st.lists(st.integers(1, 65535), min_size=1, max_size=8),
    events=st.lists(
        st.tuples(st.integers(0, 7), st.floats(0, 100), st.sampled_from([200, 500, None]), st.integers(0, 9))
    ),
)
def test_whatever_happens_one_of_them_is_chosen(endpoints, exchange, weights, events):
    learner, candidates = Learner(), endpoints(*weights)
    for place, seconds, status, in_flight in events:
        one = candidates[place % len(candidates)]
        one.in_flight = in_flight
        learner.now += seconds
        learner.learn(one, seconds, status)
        assert learner.balancer.choose(exchange, candidates) in candidates


@pytest.mark.parametrize("settings", [{"decay": 0}, {"penalty": "0s"}, {"decay": "soon"}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        LeastTime.Config(**settings)
