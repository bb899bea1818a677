"""random: shares follow weights, and the draw is all it depends on."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from gateway_balancing import Random


def test_equal_weights_get_equal_shares(endpoints, take):
    counts = Counter(take(Random(random.Random(7).random), endpoints(1, 1, 1, 1), 8000))
    assert all(abs(count - 2000) < 200 for count in counts.values())


def test_shares_follow_weights(endpoints, take):
    counts = Counter(take(Random(random.Random(7).random), endpoints(5, 3, 2), 10000))
    assert [round(counts[name] / 1000) for name in "abc"] == [5, 3, 2]


def test_an_endpoint_of_weight_zero_is_never_drawn(endpoints, take):
    assert "b" not in take(Random(random.Random(7).random), endpoints(1, 0, 3), 5000)


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 2)])
@pytest.mark.parametrize(("number", "expected"), [(0.0, "a"), (1 - 2**-53, "c")])
def test_the_ends_of_the_draw_are_within_the_list(endpoints, exchange, weights, number, expected):
    assert Random(lambda: number).choose(exchange, endpoints(*weights)).name == expected


def test_changed_weights_are_noticed_with_the_new_tuple(endpoints, take):
    candidates = endpoints(1, 1)
    balancer = Random(lambda: 0.6)
    assert take(balancer, candidates, 1) == "b"
    candidates[0].weight = 9
    assert take(balancer, (*candidates,), 1) == "a"


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 3, 2)])
def test_a_further_attempt_leaves_the_table_alone(endpoints, exchange, retried, weights):
    candidates = endpoints(*weights)
    balancer = Random(lambda: 0.99)
    assert balancer.choose(exchange, candidates).name == "c"
    assert balancer.choose(retried, candidates[:2]).name == "b"
    assert balancer.choose(exchange, candidates).name == "c"
