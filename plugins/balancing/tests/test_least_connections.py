"""least-connections: the least load for the weight, exactly, with turns among equals."""

from __future__ import annotations

import random
from collections import Counter, deque

import pytest
from gateway_balancing import LeastConnections
from hypothesis import given, settings
from hypothesis import strategies as st


def load(endpoint) -> float:
    return endpoint.in_flight / endpoint.weight


def busy(candidates, *in_flight):
    for one, count in zip(candidates, in_flight, strict=True):
        one.in_flight = count
    return candidates


def test_the_one_with_the_fewest_is_picked(endpoints, take):
    assert take(LeastConnections(), busy(endpoints(1, 1, 1), 3, 1, 2), 2) == "bb"


def test_weights_divide_the_load(endpoints, take):
    assert take(LeastConnections(), busy(endpoints(1, 4), 2, 6), 2) == "bb"


def test_idle_equals_take_turns(endpoints, take):
    assert take(LeastConnections(), endpoints(1, 1, 1), 6) == "abcabc"


def test_busy_equals_take_turns(endpoints, take):
    assert take(LeastConnections(), busy(endpoints(1, 1, 1), 2, 2, 5), 6) == "ababab"


def test_idle_ones_take_turns_by_weight(endpoints, take):
    assert Counter(take(LeastConnections(), endpoints(3, 1), 400)) == {"a": 300, "b": 100}


@pytest.mark.parametrize("count", [1, 2, 10, 32, 33, 99])
@given(data=st.data())
def test_the_choice_is_exact_below_a_hundred(endpoints, exchange, count, data):
    candidates = endpoints(*data.draw(st.lists(st.integers(1, 4), min_size=count, max_size=count)))
    balancer = LeastConnections()
    for _ in range(5):
        busy(candidates, *data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)))
        assert load(balancer.choose(exchange, candidates)) == min(map(load, candidates))


def test_an_idle_one_of_a_thousand_is_found_when_nothing_is_left_over(endpoints, exchange):
    candidates = endpoints(*[1] * 1000)
    for one in candidates:
        one.in_flight = 2
    candidates[777].in_flight = 0
    assert LeastConnections().choose(exchange, candidates) is candidates[777]


@pytest.mark.parametrize("count", [100, 250])
@settings(max_examples=20)
@given(data=st.data())
def test_while_nothing_ends_each_of_many_choices_is_exact(endpoints, exchange, count, data):
    """Busy ones, of which a comparison serves several exchanges."""
    candidates = endpoints(*data.draw(st.lists(st.integers(1, 4), min_size=count, max_size=count)))
    busy(candidates, *data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count)))
    balancer = LeastConnections()
    for _ in range(count // 5):
        picked = balancer.choose(exchange, candidates)
        assert load(picked) == min(map(load, candidates))
        picked.in_flight += 1


def test_one_that_others_have_made_busy_meanwhile_is_passed_over(endpoints, exchange):
    candidates = endpoints(*[1] * 200)
    busy(candidates, *[1] * 5, *[9] * 195)
    balancer = LeastConnections()
    balancer.choose(exchange, candidates).in_flight += 1
    candidates[1].in_flight = candidates[2].in_flight = 20
    assert balancer.choose(exchange, candidates) is candidates[3]


@pytest.mark.parametrize("weights", [[1], [1, 2, 5], [65535, 65521, 65519, 65497, 65479]])
def test_a_thousand_busy_endpoints_stay_level(endpoints, exchange, weights):
    """A closed loop with 5,000 exchanges in flight that end in random order."""
    candidates = endpoints(*[weights[n % len(weights)] for n in range(1000)])
    chance, balancer = random.Random(7), LeastConnections()
    under_way: list = []
    for step in range(30_000):
        if step >= 5000:
            place = chance.randrange(len(under_way))
            under_way[place], under_way[-1] = under_way[-1], under_way[place]
            under_way.pop().in_flight -= 1
        picked = balancer.choose(exchange, candidates)
        picked.in_flight += 1
        under_way.append(picked)
    average = 5000 / sum(one.weight for one in candidates)
    assert all(one.in_flight <= average * one.weight + 2 for one in candidates)


def test_a_slow_endpoint_gets_less(endpoints, exchange):
    slow, fast = candidates = endpoints(1, 1)
    balancer, counts = LeastConnections(), Counter()
    ends: deque[tuple[int, object]] = deque()
    for now in range(2000):
        for item in [item for item in ends if item[0] <= now]:
            ends.remove(item)
            item[1].in_flight -= 1
        picked = balancer.choose(exchange, candidates)
        counts[picked.name] += 1
        picked.in_flight += 1
        ends.append((now + (20 if picked is slow else 2), picked))
    assert counts[fast.name] > 3 * counts[slow.name]


def test_weights_far_apart_and_without_a_common_divisor_make_no_long_round(endpoints, take):
    counts = Counter(take(LeastConnections(), endpoints(65535, 65521, 1), 1000))
    assert set(counts) == set("abc")
    assert counts["c"] < 100


@pytest.mark.parametrize("count", [3, 200])
def test_a_further_attempt_compares_its_own_candidates(endpoints, exchange, retried, count):
    candidates = endpoints(*[1] * count)
    balancer = LeastConnections()
    for one in candidates:
        one.in_flight = 3
    first = balancer.choose(exchange, candidates)
    others = tuple(one for one in candidates if one is not first)
    others[-1].in_flight = 1
    assert balancer.choose(retried, others) is others[-1]


@pytest.mark.parametrize("count", [2, 40])
def test_a_further_attempt_that_comes_first_of_all_minds_weights(endpoints, retried, count):
    candidates = busy(endpoints(*[1] * (count - 1), 4), *[2] * (count - 1), 3)
    assert LeastConnections().choose(retried, candidates) is candidates[-1]
