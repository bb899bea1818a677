"""Endpoints as a balancer sees them, and exchanges to choose for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from gateway import Exchange, Request

settings.register_profile(
    "balancing", deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("balancing")

MakeEndpoints: TypeAlias = Callable[..., tuple[Any, ...]]


@dataclass(eq=False)
class FakeEndpoint:
    """What a balancer looks at."""

    name: str
    weight: int
    in_flight: int = 0
    base_weight: int = 0

    def __post_init__(self) -> None:
        self.base_weight = self.weight


class FakeUpstream:
    """What a balancer looks at: the endpoints that were made last are its own."""

    def __init__(self) -> None:
        self.endpoints: tuple[FakeEndpoint, ...] = ()
        self.available: tuple[FakeEndpoint, ...] = ()

    @property
    def in_flight(self) -> int:
        return sum(endpoint.in_flight for endpoint in self.made)

    made: tuple[FakeEndpoint, ...] = ()


UPSTREAM = FakeUpstream()


def make_endpoints(*weights: int) -> tuple[FakeEndpoint, ...]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    UPSTREAM.made = tuple(
        FakeEndpoint(letters[n] if n < 26 else f"e{n}", weight) for n, weight in enumerate(weights)
    )
    return UPSTREAM.made


@pytest.fixture
def endpoints() -> MakeEndpoints:
    """`endpoints(5, 1, 1)`: a, b and c with these weights."""
    return make_endpoints


def make_exchange(
    target: str = "/", headers: object = None, client: str = "127.0.0.1", *, failed: bool = False
) -> Exchange:
    exchange = Exchange(None, Request("GET", target, headers, client=client))
    exchange.upstream = UPSTREAM
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
