"""One endpoint of four is ten times slower than the others: what the slowest exchanges take, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from gateway_balancing import LeastTime, RoundRobin, TwoChoices

from gateway import Attempt, Headers

SECONDS = 60.0
SERVICE = (0.1, 0.01, 0.01, 0.01)
"""What one exchange takes on average at each endpoint, which serves one after the other."""


class Simulation:
    """Exchanges that come at random, at a rate; endpoints that serve them in the order they came."""

    def __init__(self, endpoints: Sequence[Any], service: Sequence[float], rate: float, seed: int = 7) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._endpoints = tuple(endpoints)
        self._service = dict(zip(endpoints, service, strict=True))
        self._rate = rate

    def run(self, balancer: Any, exchange: Any, seconds: float = SECONDS) -> list[float]:
        """How long each exchange took, from the shortest on."""
        arrivals, service = random.Random(self.chance.random()), random.Random(self.chance.random())
        learn = getattr(balancer, "ended", lambda attempt: None)
        free_at = dict.fromkeys(self._endpoints, 0.0)
        numbers, ends, times = count(), [], []
        due = arrivals.expovariate(self._rate)
        while due < seconds or ends:
            if ends and (due >= seconds or ends[0][0] <= due):
                self.now, _, endpoint, started = heapq.heappop(ends)
                endpoint.in_flight -= 1
                times.append(self.now - started)
                learn(self._attempt(endpoint, started))
                continue
            self.now = due
            endpoint = balancer.choose(exchange, self._endpoints)
            endpoint.in_flight += 1
            self.counts[endpoint.name] += 1
            begin = max(due, free_at[endpoint])
            free_at[endpoint] = begin + service.expovariate(1 / self._service[endpoint])
            heapq.heappush(ends, (free_at[endpoint], next(numbers), endpoint, due))
            due += arrivals.expovariate(self._rate)
        return sorted(times)

    def _attempt(self, endpoint: Any, started: float) -> Attempt:
        attempt = Attempt(1, endpoint, Headers())
        attempt.started, attempt.ended, attempt.status = started, self.now, 200
        return attempt


MAKE: dict[str, Callable[[Simulation], Any]] = {
    "round-robin": lambda simulation: RoundRobin(),
    "two-choices": lambda simulation: TwoChoices(simulation.chance.random),
    "least-time": lambda simulation: LeastTime(
        LeastTime.Config(), lambda: simulation.now, simulation.chance.random
    ),
}


@pytest.fixture
def p99(endpoints, exchange):
    def measure(name: str, rate: float, seed: int) -> float:
        simulation = Simulation(endpoints(1, 1, 1, 1), SERVICE, rate, seed)
        times = simulation.run(MAKE[name](simulation), exchange)
        return times[int(len(times) * 0.99)]

    return measure


@pytest.mark.parametrize("name", ["two-choices", "least-time"])
@pytest.mark.parametrize("rate", [35, 100, 200])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_slowest_of_a_hundred_takes_at_most_half_as_long_as_in_turn(p99, name, rate, seed):
    """At 35 a second the slow endpoint can just do its quarter, at 100 and 200 no more; the others could do 300."""
    assert p99(name, rate, seed) <= p99("round-robin", rate, seed) / 2


def test_by_time_the_slow_one_gets_next_to_nothing(endpoints, exchange):
    simulation = Simulation(endpoints(1, 1, 1, 1), SERVICE, 100)
    simulation.run(MAKE["least-time"](simulation), exchange)
    assert simulation.counts["a"] < 0.01 * simulation.counts.total()
    assert all(simulation.counts[name] > 0.25 * simulation.counts.total() for name in "bcd")


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 2)])
def test_by_time_equals_share_by_weight_when_there_is_much_to_do(endpoints, exchange, weights):
    """Each is as fast as its weight says, and they are at 90 % of what they can do."""
    service = [0.08 / weight for weight in weights]
    simulation = Simulation(endpoints(*weights), service, 0.9 * sum(weights) / 0.08)
    simulation.run(MAKE["least-time"](simulation), exchange)
    total = simulation.counts.total()
    for name, weight in zip("abcd", weights, strict=True):
        assert abs(simulation.counts[name] / total - weight / sum(weights)) < 0.05
