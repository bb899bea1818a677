"""two-choices: of two drawn by weight the one with less to do."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from gateway_balancing import Random, TwoChoices
from gateway_balancing.two_choices import Pairs
from hypothesis import given
from hypothesis import strategies as st


def balancer(seed: int = 7) -> TwoChoices:
    return TwoChoices(random.Random(seed).random)


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (5, 3, 2), (1, 9), (4,)])
def test_idle_ones_are_chosen_by_weight(endpoints, take, weights):
    counts = Counter(take(balancer(), endpoints(*weights), 8000))
    for one in endpoints(*weights):
        wanted = 8000 * one.weight / sum(weights)
        assert abs(counts[one.name] - wanted) <= 4 * wanted**0.5


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (7, 1)])
def test_of_two_the_one_with_less_to_do_is_taken(endpoints, take, weights):
    candidates = endpoints(*weights)
    candidates[0].in_flight, candidates[1].in_flight = 2 * weights[0] + 1, 2 * weights[1]
    assert take(balancer(), candidates, 50) == "b" * 50


def test_the_most_loaded_is_never_taken(endpoints, take):
    candidates = endpoints(1, 1, 1, 1)
    for one, in_flight in zip(candidates, (3, 5, 1, 2), strict=True):
        one.in_flight = in_flight
    counts = Counter(take(balancer(), candidates, 600))
    assert set(counts) == set("acd")
    assert counts["c"] > counts["d"] > counts["a"]


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3, 4)])
def test_busy_ones_share_by_weight(endpoints, exchange, weights):
    """A closed loop: with loads level for their weights, so are the shares of what comes."""
    candidates = endpoints(*weights * 4)
    chance, chooser, counts, under_way = random.Random(7), balancer(), Counter(), []
    for step in range(20_000):
        if step >= 400:
            place = chance.randrange(len(under_way))
            under_way[place], under_way[-1] = under_way[-1], under_way[place]
            under_way.pop().in_flight -= 1
        picked = chooser.choose(exchange, candidates)
        picked.in_flight += 1
        counts[picked.weight] += 1
        under_way.append(picked)
    for weight in weights:
        assert abs(counts[weight] / 20_000 - weight / sum(weights)) < 0.02


def test_the_busiest_has_far_less_than_with_one_draw(endpoints, exchange):
    """Exchanges thrown at endpoints, as many as there are."""

    def most(chooser) -> int:
        candidates = endpoints(*[1] * 500)
        for _ in candidates:
            chooser.choose(exchange, candidates).in_flight += 1
        return max(one.in_flight for one in candidates)

    assert most(balancer()) <= 3
    assert most(Random(random.Random(7).random)) >= 4


@given(
    weights=st.lists(st.integers(1, 65535), min_size=2, max_size=12),
    numbers=st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2),
)
def test_two_different_ones_are_drawn(endpoints, weights, numbers):
    first, second = Pairs(endpoints(*weights), iter(numbers).__next__).take()
    assert 0 <= first < len(weights)
    assert 0 <= second < len(weights)
    assert first != second


@pytest.mark.parametrize("weights", [(1, 1, 1), (4, 3, 2, 1)])
def test_the_second_is_drawn_by_weight_among_the_others(endpoints, weights):
    pairs = Pairs(endpoints(*weights), random.Random(7).random)
    counts = Counter(pairs.take() for _ in range(20_000))
    for (first, second), count in counts.items():
        total = sum(weights)
        wanted = 20_000 * weights[first] / total * weights[second] / (total - weights[first])
        assert abs(count - wanted) <= 4 * wanted**0.5


def test_a_further_attempt_takes_one_of_its_candidates_and_leaves_the_draw_alone(endpoints, exchange, retried):
    candidates = endpoints(5, 1, 1)
    chooser = balancer()
    chooser.choose(exchange, candidates)
    pairs = chooser._pairs
    assert {chooser.choose(retried, candidates[1:]).name for _ in range(50)} == set("bc")
    assert chooser._pairs is pairs


def test_a_further_attempt_prefers_the_less_loaded(endpoints, retried):
    candidates = endpoints(1, 1)
    candidates[0].in_flight = 3
    names = [balancer(seed).choose(retried, candidates).name for seed in range(200)]
    assert names.count("a") < 80


def test_new_weights_count_from_the_new_tuple_on(endpoints, take):
    candidates, chooser = endpoints(1, 1), balancer()
    take(chooser, candidates, 10)
    candidates[1].weight = 99
    assert take(chooser, (*candidates,), 200).count("b") > 180
