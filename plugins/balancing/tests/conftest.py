"""Endpoints as a balancer sees them, and exchanges to choose for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from gateway import Exchange, Request, Upstream

settings.register_profile(
    "balancing", deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("balancing")

MakeEndpoints: TypeAlias = Callable[..., tuple[Any, ...]]

NOWHERE = Upstream.nowhere()


@dataclass(eq=False)
class FakeEndpoint:
    """What a balancer looks at."""

    name: str
    weight: int
    in_flight: int = 0
    base_weight: int = 0

    def __post_init__(self) -> None:
        self.base_weight = self.weight


def make_endpoints(*weights: int) -> tuple[FakeEndpoint, ...]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return tuple(FakeEndpoint(letters[n] if n < 26 else f"e{n}", weight) for n, weight in enumerate(weights))


@pytest.fixture
def endpoints() -> MakeEndpoints:
    """`endpoints(5, 1, 1)`: a, b and c with these weights."""
    return make_endpoints


def make_exchange(
    target: str = "/", headers: object = None, client: str = "127.0.0.1", *, failed: bool = False
) -> Exchange:
    exchange = Exchange(None, Request("GET", target, headers, client=client))
    exchange.upstream = NOWHERE
    if failed:
        exchange.attempts.append(object())
    return exchange


@pytest.fixture
def ask() -> Callable[..., Exchange]:
    """`ask("/path", {"x-user": "a"}, client="10.0.0.1", failed=True)`: an exchange whose first attempt failed."""
    return make_exchange


@pytest.fixture
def exchange() -> Exchange:
    """A first attempt."""
    return make_exchange()


@pytest.fixture
def retried() -> Exchange:
    """An exchange whose first attempt failed."""
    return make_exchange(failed=True)


@pytest.fixture
def take() -> Callable[..., str]:
    """`take(balancer, candidates, 7)`: the names of seven choices in a row."""

    def choose(balancer: Any, candidates: tuple[Any, ...], count: int) -> str:
        exchange = make_exchange()
        return "".join(balancer.choose(exchange, candidates).name for _ in range(count))

    return choose
