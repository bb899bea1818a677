"""The balancer `least-connections`: whoever has the least to do for its weight.

Never a sample. A few endpoints are all looked at. Of many, an idle one has the least possible load, so the first
idle one in turn is an answer, and while some are idle it is found within a few looks; only when that fails are
all of them compared. Of very many, one comparison serves a few exchanges: its equals are taken in turn, and each
is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from math import gcd, inf, lcm

from gateway import Endpoint, Exchange

FEW = 32
"""Endpoints that are looked at one by one."""
LOOKS = 16
"""Of more, how many are looked at for an idle one before all are compared."""
TURNS_AN_ENDPOINT = 8
"""How long a round of turns may be, for each endpoint on average."""
ENDPOINTS_AN_EXCHANGE = 50
"""How many may be compared for each exchange; a comparison of more of them serves several exchanges."""


class LeastConnections:
    """Pick the endpoint with the fewest exchanges in flight, divided by its weight.

    Equals take turns: idle ones by weight, so that weights hold in quiet times, too; busy ones in the listed
    order. Counts are those of this worker. Exact below 100 endpoints, and beyond while one of 16 is idle;
    otherwise what ended since the latest comparison, less than endpoints / 50 exchanges ago, is seen by the next.
    """

    def __init__(self) -> None:
        self._endpoints: Sequence[Endpoint] = ()
        self._turns: Iterator[Endpoint] = iter(())
        self._looks = 0
        self._units: list[int] = []
        self._ring: list[tuple[Endpoint, int]] = []
        self._start = 0
        self._equals: list[tuple[Endpoint, int]] = []

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint:
        """One of those with the least load."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts:
                return self._compare(endpoints, _units(endpoints))[0][0]
            self._prepare(endpoints)
        if self._looks:
            for endpoint in islice(self._turns, self._looks):
                if not endpoint.in_flight:
                    return endpoint
        if self._ring:
            return self._look_at_all(endpoints)
        while self._equals:
            endpoint, in_flight = self._equals.pop()
            if endpoint.in_flight <= in_flight:
                return endpoint
        equals = self._compare(endpoints, self._units)
        self._equals = equals[:0:-1]
        return equals[0][0]

    def _prepare(self, endpoints: Sequence[Endpoint]) -> None:
        units = _units(endpoints)
        is_even, is_few = len(set(units)) == 1, len(endpoints) <= FEW
        self._turns = cycle(endpoints if is_even else _weighted_turns(endpoints))
        self._looks = 0 if is_even and is_few else min(LOOKS, len(endpoints))
        self._units = [] if is_even else units
        self._ring = list(zip(endpoints, units, strict=True)) * 2 if is_few else []
        self._equals = []
        self._start = 0
        self._endpoints = endpoints

    def _look_at_all(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        # hot: l7-balancer
        start = self._start
        best, least = endpoints[0], inf
        for endpoint, unit in self._ring[start : start + len(endpoints)]:
            load = endpoint.in_flight * unit
            if load < least:
                best, least = endpoint, load
                if not load:
                    break
        self._start = (endpoints.index(best) + 1) % len(endpoints)
        return best

    def _compare(self, endpoints: Sequence[Endpoint], units: list[int]) -> list[tuple[Endpoint, int]]:
        """The least loaded whose turn it is, each with its exchanges in flight; as many as shall be served."""
        counts = loads = [endpoint.in_flight for endpoint in endpoints]
        if units:
            loads = [count * unit for count, unit in zip(counts, units, strict=True)]
        least = min(loads)
        equals: list[tuple[Endpoint, int]] = []
        place = self._start - 1
        for _ in range(max(1, len(loads) // ENDPOINTS_AN_EXCHANGE)):
            try:
                place = loads.index(least, place + 1)
            except ValueError:
                place = loads.index(least)
            if equals and endpoints[place] is equals[0][0]:
                break
            equals.append((endpoints[place], counts[place]))
        self._start = endpoints.index(equals[-1][0]) + 1
        return equals


def _units(endpoints: Sequence[Endpoint]) -> list[int]:
    """What one exchange weighs at each of them, in whole numbers."""
    weights = [max(1, endpoint.weight) for endpoint in endpoints]
    common = lcm(*set(weights))
    return [common // weight for weight in weights]


def _weighted_turns(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """A round in which each comes as often as it has weight, evenly spread; long rounds are shortened."""
    weights = [max(1, endpoint.weight) for endpoint in endpoints]
    scale = min(1 / gcd(*weights), TURNS_AN_ENDPOINT * len(weights) / sum(weights))
    turns: list[tuple[float, int]] = []
    for place, weight in enumerate(weights):
        share = max(1, round(weight * scale))
        turns += [((turn + 0.5) / share, place) for turn in range(share)]
    return [endpoints[place] for _, place in sorted(turns)]
