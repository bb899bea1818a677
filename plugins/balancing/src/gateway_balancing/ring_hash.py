"""The balancer `ring-hash`: a ring of points, many for each endpoint, as in ketama.

A key belongs to the first point behind its place. The points of an endpoint depend on its name and its share
alone, so one that goes leaves only its own keys to others, spread over all of them.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from hashlib import shake_128
from struct import unpack
from typing import Annotated

from pydantic import Field

from gateway import Endpoint
from gateway_balancing.by_key import PLACE_BITS, ByKey, KeySettings
from gateway_balancing.keys import key_function
from gateway_balancing.shares import Shares

REPLICAS = 128
POINT_BITS = 30
"""A point is less than 2**30: Python sorts whole numbers of one digit fastest."""
TO_POINT = PLACE_BITS - POINT_BITS


class RingHash(ByKey):
    """Consistent hashing on a ring: one of n endpoints that goes or comes moves only 1/n of the keys."""

    class Config(KeySettings):
        """What decides where an exchange goes, and how even the shares are."""

        replicas: Annotated[int, Field(ge=1, le=1024)] = REPLICAS
        """Points on the ring for an endpoint of average weight. More are more even, and take longer to place."""

    def __init__(self, config: Config) -> None:
        make = Rings(config.replicas).make
        super().__init__(key_function(config.key), make, config.balance_factor, config.without_key)


class Rings:
    """Makes rings, and remembers the points of the endpoints in the latest one."""

    def __init__(self, replicas: int = REPLICAS) -> None:
        self._replicas = replicas
        self._points: dict[tuple[str, int], list[int]] = {}

    def make(self, shares: Shares) -> Ring:
        """The ring of these endpoints."""
        owners: dict[int, Endpoint] = {}
        points: dict[tuple[str, int], list[int]] = {}
        for endpoint, share in shares:
            wanted = endpoint.name, max(1, round(self._replicas * share))
            points[wanted] = own = self._points.get(wanted) or _points(*wanted)
            owners.update(dict.fromkeys(own, endpoint))
        self._points = points
        return Ring(owners)


class Ring:
    """A table whose owners are found by the first point behind a place."""

    __slots__ = ("_owners", "_points")

    def __init__(self, owners: dict[int, Endpoint]) -> None:
        self._points = sorted(owners)
        self._owners = owners
        # The ring closes: what lies behind the last point belongs to the first one.
        owners[2**POINT_BITS] = owners[self._points[0]]
        self._points.append(2**POINT_BITS)

    def find(self, place: int) -> Endpoint:
        """The owner of a place."""
        # hot: l7-balancer
        return self._owners[self._points[bisect(self._points, place >> TO_POINT)]]

    def walk(self, place: int) -> Iterator[Endpoint]:
        """The owner, then those of the points behind."""
        points, owners = self._points, self._owners
        start = bisect(points, place >> TO_POINT)
        for number in range(start, len(points)):
            yield owners[points[number]]
        for number in range(start):
            yield owners[points[number]]


def _points(name: str, count: int) -> list[int]:
    """The points of an endpoint, sorted; the first of them are the same however many there are."""
    digest = shake_128(name.encode()).digest(4 * count)
    return sorted([point >> TO_POINT for point in unpack(f">{count}I", digest)])
