"""What balancers by key have in common: exchanges with the same key go to the same endpoint.

Owns the way from a key to an endpoint: its place in a table, the next in line for a further attempt or when an
endpoint is full, and when tables are made. The tables are those of the strategies, one file each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple, Protocol, TypeAlias
from zlib import crc32

from pydantic import field_validator

from gateway import Balancer, Endpoint, Exchange, PluginConfig
from gateway_balancing.keys import Key, key_function
from gateway_balancing.least_connections import LeastConnections
from gateway_balancing.loads import BalanceFactor, LoadBound
from gateway_balancing.random_draw import Random, draw_elsewhere
from gateway_balancing.round_robin import RoundRobin
from gateway_balancing.shares import Shares, shares_of
from gateway_balancing.two_choices import TwoChoices
from gateway_balancing.weighted_round_robin import WeightedRoundRobin

SPREAD = 0x9E3779B1
"""An odd number near 2**32 / golden ratio: times it, alike checksums come to lie far apart (Knuth, vol. 3, 6.4)."""
PLACE_BITS = 32
LOOKS = 64
"""How many of those next in line are looked at."""
LINE = 4
"""How many different ones in line are remembered with a key, if there is a bound."""
MAX_LINES = 8192
"""Keys whose line is remembered; with more, all are forgotten."""
KEPT = 2
"""Tables that are kept: an endpoint that goes and comes back finds the one that it was in."""


class KeySettings(PluginConfig):
    """What decides where an exchange goes, and how far one endpoint may be ahead of the others."""

    key: str = "source"
    """What decides: `source` (the client's address), `header:NAME`, `cookie:NAME`, `query:NAME`, `path`, or `uri`
    (path and query)."""
    without_key: Literal["random", "round-robin", "weighted-round-robin", "least-connections", "two-choices"] = (
        "random"
    )
    """The balancer for exchanges without the key, or with an empty one."""
    balance_factor: BalanceFactor = 0.0
    """Bounded loads: an endpoint that would have more than so many times the average in flight, by weight, is
    passed over for the next in line. 0 means no bound."""

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: str) -> str:
        key_function(value)
        return value


WITHOUT_KEY: dict[str, Callable[[], Balancer]] = {
    "random": Random,
    "round-robin": RoundRobin,
    "weighted-round-robin": WeightedRoundRobin,
    "least-connections": LeastConnections,
    "two-choices": TwoChoices,
}


class Table(Protocol):
    """To whom each place belongs; a place is a whole number from 0 up to, not including, 2**32."""

    def find(self, place: int) -> Endpoint:
        """The owner of a place."""
        ...

    def walk(self, place: int) -> Iterator[Endpoint]:
        """The owner, then those next in line; may name one several times."""
        ...


MakeTable: TypeAlias = Callable[[Shares], Table]


class ByKey:
    """Send exchanges with the same key to the same endpoint, in every worker and every process.

    On a further attempt, and while an endpoint is full, the next in line is taken. Tables are made anew only when
    endpoints or their shares change.
    """

    def __init__(
        self, key: Key, make_table: MakeTable, balance_factor: float = 0.0, without_key: str = "random"
    ) -> None:
        self._key = key
        self._make_table = make_table
        self._factor = balance_factor
        self._without_key = WITHOUT_KEY[without_key]()
        self._endpoints: Sequence[Endpoint] = ()
        self._kept: list[_Kept] = []
        self._lines: dict[bytes, tuple[Endpoint, ...]] = {}
        """The owner of a key, and those behind it in line: to look them up costs a third of finding them."""
        self._bound: LoadBound | None = None

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """The one that the key belongs to."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts and endpoints is not exchange.upstream.available:
                return self._choose_again(exchange, endpoints)
            self._prepare(endpoints, exchange.upstream.endpoints or endpoints)
        key = self._key(exchange)
        if key is None:
            return self._without_key.choose(exchange, endpoints)
        line = self._lines.get(key) or self._line(key)
        if self._bound is not None:
            return self._bound.first_with_room(line, exchange) or self._next_in_line(key, self._bound, exchange)
        return line[0]

    def _line(self, key: bytes) -> tuple[Endpoint, ...]:
        if len(self._lines) >= MAX_LINES:
            self._lines.clear()
        table, place = self._kept[0].table, place_of(key)
        if self._bound is None:
            line: tuple[Endpoint, ...] = (table.find(place),)
        else:
            line = tuple(dict.fromkeys(islice(table.walk(place), LOOKS)))[:LINE]
        self._lines[key] = line
        return line

    def _next_in_line(self, key: bytes, bound: LoadBound, exchange: Exchange) -> Endpoint:
        """The first in line that is not full; some endpoint is not, and of a very long line the least loaded."""
        following = islice(self._kept[0].table.walk(place_of(key)), 1, LOOKS)
        return bound.first_with_room(following, exchange) or min(self._endpoints, key=_load)

    def _choose_again(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """The first in line of the given ones; a full one only if no other is left."""
        key = self._key(exchange)
        if key is None:
            return self._without_key.choose(exchange, endpoints)
        full: Endpoint | None = None
        place = place_of(key)
        for endpoint in islice(self._kept[0].table.walk(place), LOOKS) if self._kept else ():
            if endpoint in endpoints:
                if self._bound is None or not self._bound.is_too_much_for(endpoint, exchange):
                    return endpoint
                full = full or endpoint
        return full or draw_elsewhere(endpoints)

    def _prepare(self, endpoints: Sequence[Endpoint], known: Sequence[Endpoint]) -> None:
        kept = self._kept_for(endpoints, known)
        self._kept = [kept, *(other for other in self._kept if other is not kept)][:KEPT]
        self._lines = {}
        self._bound = LoadBound(endpoints, self._factor) if self._factor else None
        self._endpoints = endpoints

    def _kept_for(self, endpoints: Sequence[Endpoint], known: Sequence[Endpoint]) -> _Kept:
        for kept in self._kept:
            if kept.endpoints is endpoints:
                return kept
        shares = shares_of(endpoints, known)
        for kept in self._kept:
            if kept.shares == shares:
                return _Kept(endpoints, shares, kept.table)
        return _Kept(endpoints, shares, self._make_table(shares))


def place_of(key: bytes) -> int:
    """Where a key lies in a table."""
    return crc32(key) * SPREAD & 0xFFFFFFFF


class _Kept(NamedTuple):
    endpoints: Sequence[Endpoint]
    shares: Shares
    table: Table


def _load(endpoint: Endpoint) -> float:
    return endpoint.in_flight / max(1, endpoint.weight)
