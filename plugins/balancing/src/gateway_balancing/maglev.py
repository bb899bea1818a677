"""The balancer `maglev`: a table of fixed size in which every endpoint takes its favourite free places in turn.

After "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud and others, NSDI 2016), with turns by
weight. Shares are almost exact, and a look-up is one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from heapq import heapify, heapreplace
from itertools import groupby

from pydantic import field_validator

from gateway import Endpoint
from gateway_balancing.by_key import PLACE_BITS, ByKey, KeySettings
from gateway_balancing.keys import key_function
from gateway_balancing.shares import Shares

SIZE = 16381
SMALLEST, LARGEST = 100, 2**20


class Maglev(ByKey):
    """Consistent hashing with even shares: one of n endpoints that goes moves 1/n of the keys, and a few others."""

    class Config(KeySettings):
        """What decides where an exchange goes, and how large the table is."""

        size: int = SIZE
        """Places of the table: a prime, and at least ten times as many as endpoints. The more there are, the more
        even are the shares, the fewer keys move without need, and the longer it takes to fill."""

        @field_validator("size")
        @classmethod
        def _check_size(cls, value: int) -> int:
            if not SMALLEST <= value <= LARGEST or not _is_prime(value):
                raise ValueError(f"expected a prime such as 4093, 16381 or 65537, not {value}")
            return value

    def __init__(self, config: Config) -> None:
        def make(shares: Shares) -> Places:
            return Places(shares, config.size)

        super().__init__(key_function(config.key), make, config.balance_factor, config.without_key)


class Places:
    """A table of places, each with its owner; those next in line are the owners of the places behind."""

    __slots__ = ("_owners", "_size")

    def __init__(self, shares: Shares, size: int) -> None:
        self._owners = _filled(shares, size)
        self._size = size

    def find(self, place: int) -> Endpoint:
        """The owner of a place."""
        # hot: l7-balancer
        return self._owners[place * self._size >> PLACE_BITS]

    def walk(self, place: int) -> Iterator[Endpoint]:
        """The owner, then those of the places behind."""
        owners, start = self._owners, place * self._size >> PLACE_BITS
        for number in range(start, self._size):
            yield owners[number]
        for number in range(start):
            yield owners[number]


class _Taker:
    """An endpoint on its way through the table, from one favourite place to the next."""

    __slots__ = ("endpoint", "place", "step")

    def __init__(self, endpoint: Endpoint, size: int) -> None:
        digest = blake2b(endpoint.name.encode(), digest_size=16).digest()
        self.endpoint = endpoint
        self.place = int.from_bytes(digest[:8], "big") % size
        # Any step leads through all places, since their number is a prime.
        self.step = int.from_bytes(digest[8:], "big") % (size - 1) + 1


def _filled(shares: Shares, size: int) -> list[Endpoint]:
    """The owner of every place. Who has twice the share has a turn twice as often."""
    owners: list[Endpoint | None] = [None] * size
    left = size
    for taker in _turns(shares, size):
        place, step = taker.place, taker.step
        while owners[place] is not None:
            place += step
            if place >= size:
                place -= size
        owners[place] = taker.endpoint
        taker.place = place
        left -= 1
        if not left:
            break
    return [endpoint for endpoint in owners if endpoint is not None]


def _turns(shares: Shares, size: int) -> Iterator[_Taker]:
    """Turns without end. Endpoints of one share have their turns together, so only shares are compared."""
    by_share = sorted(shares, key=_share)
    rounds = [
        (1 / share, number, share, [_Taker(endpoint, size) for endpoint, _ in group])
        for number, (share, group) in enumerate(groupby(by_share, key=_share))
    ]
    heapify(rounds)
    while True:
        time, number, share, takers = rounds[0]
        yield from takers
        heapreplace(rounds, (time + 1 / share, number, share, takers))


def _share(item: tuple[Endpoint, float]) -> float:
    return item[1]


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))
