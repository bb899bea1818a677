"""balance_factor: nobody has more than so many times the average in flight, and few keys leave their endpoint."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pytest
from gateway_balancing import Maglev, Rendezvous, RingHash, SourceHash
from hypothesis import given
from hypothesis import strategies as st

CLASSES = [RingHash, Maglev, Rendezvous, SourceHash]


def bound(candidates: tuple[Any, ...], one: Any, factor: float) -> int:
    """What an endpoint may have under way when one exchange more has come."""
    total = sum(other.in_flight for other in candidates) + 1
    return math.ceil(Fraction(factor) * total * Fraction(one.weight, sum(other.weight for other in candidates)))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("factor", [1, 1.25, 2])
@given(
    loads=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=15),
    client=st.integers(0, 255),
)
def test_nobody_gets_more_than_the_bound(endpoints, ask, cls, factor, loads, client):
    candidates = endpoints(*[weight for weight, _ in loads])
    for one, (_, in_flight) in zip(candidates, loads, strict=True):
        one.in_flight = in_flight
    settings = {"size": 1021} if cls is Maglev else {}
    picked = cls(cls.Config(balance_factor=factor, **settings)).choose(ask(client=f"10.0.0.{client}"), candidates)
    assert picked.in_flight + 1 <= bound(candidates, picked, factor)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("count", [5, 200])
def test_the_bound_holds_while_a_few_clients_ask_for_nearly_everything(endpoints, ask, cls, count):
    """A closed loop of four exchanges an endpoint, nine of ten of them from three clients."""
    candidates = endpoints(*[1 + n % 3 for n in range(count)])
    balancer, chance, under_way = cls(cls.Config(balance_factor=1.25)), random.Random(7), []
    for step in range(12 * count):
        if step >= 4 * count:
            under_way.pop(chance.randrange(len(under_way))).in_flight -= 1
        client = chance.randrange(3) if chance.random() < 0.9 else chance.randrange(250)
        picked = balancer.choose(ask(client=f"10.0.0.{client}"), candidates)
        assert picked.in_flight + 1 <= bound(candidates, picked, 1.25)
        picked.in_flight += 1
        under_way.append(picked)


@pytest.mark.parametrize("cls", CLASSES)
def test_without_a_bound_a_client_stays_however_busy_its_endpoint_is(endpoints, ask, cls):
    candidates = endpoints(1, 1, 1)
    balancer = cls(cls.Config())
    owner = balancer.choose(ask(), candidates)
    owner.in_flight = 1000
    assert balancer.choose(ask(), candidates) is owner


@pytest.mark.parametrize("cls", CLASSES)
def test_who_is_turned_away_goes_to_the_next_in_line_and_comes_back(endpoints, ask, cls):
    candidates = endpoints(1, 1, 1, 1)
    balancer = cls(cls.Config(balance_factor=1.5))
    owner = balancer.choose(ask(), candidates)
    owner.in_flight = 5
    others = tuple(one for one in candidates if one is not owner)
    second = balancer.choose(ask(failed=True), others)
    assert balancer.choose(ask(), candidates) is second
    owner.in_flight = 0
    assert balancer.choose(ask(), candidates) is owner


@pytest.mark.parametrize("cls", CLASSES)
def test_a_further_attempt_passes_full_ones_over_while_there_is_another(endpoints, ask, cls):
    candidates = endpoints(1, 1, 1, 1)
    balancer = cls(cls.Config(balance_factor=1.5))
    owner = balancer.choose(ask(), candidates)
    others = tuple(one for one in candidates if one is not owner)
    second = balancer.choose(ask(failed=True), others)
    second.in_flight = 9
    third = balancer.choose(ask(failed=True), others)
    assert third not in (owner, second)
    assert balancer.choose(ask(failed=True), (second,)) is second


def test_a_bound_holds_in_quiet_times_without_moving_anyone(endpoints, ask):
    candidates = endpoints(*[1] * 6)
    free, bounded = RingHash(RingHash.Config()), RingHash(RingHash.Config(balance_factor=1.25))
    for n in range(200):
        exchange = ask(client=f"10.0.0.{n}")
        assert bounded.choose(exchange, candidates) is free.choose(exchange, candidates)


@pytest.mark.parametrize("factor", [0.5, -1, math.inf, math.nan])
def test_a_factor_that_cannot_be_is_refused(factor):
    with pytest.raises(ValueError, match=r"0 for no bound, or at least 1 such as 1\.25"):
        RingHash.Config(balance_factor=factor)
