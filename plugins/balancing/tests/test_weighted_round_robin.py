"""weighted-round-robin: nginx's smooth sequence to the letter, and credits that outlive changes."""

from __future__ import annotations

from collections import Counter

import pytest
from gateway_balancing import WeightedRoundRobin
from gateway_balancing.smooth import SmoothSequence
from hypothesis import given
from hypothesis import strategies as st


def naive(weights: list[int], count: int) -> list[int]:
    """The rule as nginx has it: a look at everyone in each step."""
    current = [0] * len(weights)
    picked = []
    for _ in range(count):
        current = [have + weight for have, weight in zip(current, weights, strict=True)]
        best = current.index(max(current))
        current[best] -= sum(weights)
        picked.append(best)
    return picked


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((5, 1, 1), "aabacaa"), ((1, 1, 1), "abcabc"), ((4, 2, 1), "abacaba"), ((1, 2), "bab"), ((3,), "aaa")],
)
def test_the_sequence_is_smooth(endpoints, take, weights, expected):
    assert take(WeightedRoundRobin(), endpoints(*weights), 2 * len(expected)) == expected * 2


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_the_sequence_is_that_of_the_rule_done_to_the_letter(endpoints, weights):
    candidates = endpoints(*weights)
    sequence = SmoothSequence(((one, one.weight) for one in candidates), {})
    steps = 2 * sum(weights) + 3
    assert [candidates.index(sequence.take()) for _ in range(steps)] == naive(weights, steps)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=10))
def test_each_round_is_fair(endpoints, take, weights):
    counts = Counter(take(WeightedRoundRobin(), endpoints(*weights), sum(weights)))
    assert [counts[one.name] for one in endpoints(*weights)] == weights


@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.integers(0, 40))
def test_the_same_endpoints_in_a_new_tuple_go_on_as_before(endpoints, take, weights, turns):
    candidates = endpoints(*weights)
    interrupted, whole = WeightedRoundRobin(), WeightedRoundRobin()
    expected = take(whole, candidates, turns + 20)
    first = take(interrupted, candidates, turns)
    assert first + take(interrupted, (*candidates,), 20) == expected


def test_one_that_was_away_gets_no_rush_of_turns(endpoints, take):
    candidates = endpoints(1, 1, 1)
    balancer = WeightedRoundRobin()
    take(balancer, candidates, 4)
    take(balancer, candidates[:2], 100)
    back = Counter(take(balancer, (*candidates,), 9))
    assert max(back.values()) - min(back.values()) <= 1


def test_a_changed_weight_counts_from_then_on(endpoints, take):
    candidates = endpoints(1, 1)
    balancer = WeightedRoundRobin()
    take(balancer, candidates, 3)
    candidates[1].weight = 3
    assert Counter(take(balancer, (*candidates,), 400)) == {"a": 100, "b": 300}


@given(st.lists(st.tuples(st.lists(st.integers(1, 1000), min_size=4, max_size=4), st.integers(0, 9)), max_size=8))
def test_no_history_starves_anyone(endpoints, take, history):
    candidates = endpoints(1, 1, 1, 1)
    balancer = WeightedRoundRobin()
    for weights, turns in history:
        for one, weight in zip(candidates, weights, strict=True):
            one.weight = weight
        take(balancer, (*candidates,), turns)
    for one in candidates:
        one.weight = 1
    assert set(take(balancer, (*candidates,), 24)) == set("abcd")


def test_the_memory_of_endpoints_that_are_gone_is_bounded(endpoints, take):
    balancer = WeightedRoundRobin()
    for number in range(500):
        candidates = endpoints(1, 2)
        for one in candidates:
            one.name += str(number)
        take(balancer, candidates, 1)
    assert len(balancer._credits) < 100


def test_a_further_attempt_does_not_move_the_round(endpoints, exchange, retried):
    candidates = endpoints(5, 1, 1)
    balancer = WeightedRoundRobin()
    seen = []
    for _ in range(7):
        seen.append(balancer.choose(exchange, candidates).name)
        assert balancer.choose(retried, candidates[1:]).name in "bc"
    assert "".join(seen) == "aabacaa"
