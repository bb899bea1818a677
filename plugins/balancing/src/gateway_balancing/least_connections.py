"""The balancer `least-connections`: whoever has the least to do for its weight.

Never a sample. A few endpoints are all looked at. Of many, an idle one has the least possible load, so the first
idle one in turn is an answer, and while some are idle it is found within a few looks; only when that fails are
all of them compared. Of very many, one comparison serves several exchanges: it says who is next, and next after
that, if nothing ends meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapreplace
from itertools import cycle, islice
from math import gcd, inf, lcm
from operator import mul

from gateway import Endpoint, Exchange

FEW = 32
"""Endpoints that are looked at one by one."""
LOOKS = 16
"""Of more, how many are looked at for an idle one before all are compared."""
TURNS_AN_ENDPOINT = 8
"""How long a round of turns may be, for each endpoint on average."""
MANY = 100
"""From so many endpoints on, a comparison serves several exchanges:"""
ENDPOINTS_AN_EXCHANGE = 25
"""one for so many endpoints."""
LONGEST = 2**60
"""Loads are whole numbers, and exact, unless weights without a common divisor would make them longer than that."""


class LeastConnections:
    """Pick the endpoint with the fewest exchanges in flight, divided by its weight.

    Equals take turns: idle ones by weight, so that weights hold in quiet times, too; busy ones in the listed
    order. Counts are those of this worker. Exact below 100 endpoints, and beyond while one of 16 is idle;
    otherwise what ended since the latest comparison, less than endpoints / 25 exchanges ago, is seen by the next.
    """

    def __init__(self) -> None:
        self._endpoints: Sequence[Endpoint] = ()
        self._turns: Iterator[Endpoint] = iter(())
        self._looks = 0
        self._units: Sequence[float] = ()
        self._ring: list[tuple[Endpoint, float]] = []
        self._start = 0
        self._next: list[tuple[Endpoint, int]] = []

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint:
        """One of those with the least load."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts:
                return self._least(endpoints, _units(endpoints))
            self._prepare(endpoints)
        following = self._next
        if self._looks and not (following and following[-1][1]):
            for endpoint in islice(self._turns, self._looks):
                if not endpoint.in_flight:
                    return endpoint
        if self._ring:
            return self._look_at_all(endpoints)
        while following:
            endpoint, in_flight = following.pop()
            if endpoint.in_flight <= in_flight:
                return endpoint
        if len(endpoints) < MANY:
            return self._least(endpoints, self._units)
        self._next = following = self._least_in_turn(endpoints, len(endpoints) // ENDPOINTS_AN_EXCHANGE)
        return following.pop()[0]

    def _prepare(self, endpoints: Sequence[Endpoint]) -> None:
        units = _units(endpoints)
        is_even, is_few = len(set(units)) == 1, len(endpoints) <= FEW
        self._turns = cycle(endpoints if is_even else _weighted_turns(endpoints))
        self._looks = 0 if is_even and is_few else min(LOOKS, len(endpoints))
        self._units = () if is_even else units
        self._ring = list(zip(endpoints, units, strict=True)) * 2 if is_few else []
        self._next = []
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

    def _least(self, endpoints: Sequence[Endpoint], units: Sequence[float]) -> Endpoint:
        """The least loaded; of several the first behind the one before. Without units all are of one weight."""
        # hot: l7-balancer
        loads: list[float] = [endpoint.in_flight for endpoint in endpoints]
        if units:
            loads = list(map(mul, loads, units))
        least = min(loads)
        try:
            place = loads.index(least, self._start)
        except ValueError:
            place = loads.index(least)
        self._start = place + 1
        return endpoints[place]

    def _least_in_turn(self, endpoints: Sequence[Endpoint], served: int) -> list[tuple[Endpoint, int]]:
        """Who is next if nothing ends, each with what it has in flight then; the first to be served comes last."""
        start, count = self._start, len(endpoints)
        endpoints = (*endpoints[start:], *endpoints[:start])
        units = (*self._units[start:], *self._units[:start]) or (1,) * count
        in_flight = [endpoint.in_flight for endpoint in endpoints]
        loads = list(map(mul, in_flight, units))
        limit = sorted(loads)[served - 1]
        # A heap of all who may be among them. Whoever is picked goes to its end, one round further.
        heap = sorted([(load, turn) for turn, load in enumerate(loads) if load < limit])
        turn = -1
        while len(heap) < served:
            turn = loads.index(limit, turn + 1)
            heap.append((limit, turn))
        picked: list[tuple[Endpoint, int]] = []
        while len(picked) < served:
            load, turn = heap[0]
            rounds, place = divmod(turn, count)
            picked.append((endpoints[place], in_flight[place] + rounds))
            heapreplace(heap, (load + units[place], turn + count))
        self._start = (start + turn + 1) % count
        picked.reverse()
        return picked


def _units(endpoints: Sequence[Endpoint]) -> list[float]:
    """What one exchange weighs at each of them, in whole numbers if those are not too long."""
    weights = [max(1, endpoint.weight) for endpoint in endpoints]
    common = lcm(*set(weights))
    return [common // weight if common < LONGEST else 1 / weight for weight in weights]


def _weighted_turns(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """A round in which each comes as often as it has weight, evenly spread; long rounds are shortened."""
    weights = [max(1, endpoint.weight) for endpoint in endpoints]
    scale = min(1 / gcd(*weights), TURNS_AN_ENDPOINT * len(weights) / sum(weights))
    turns: list[tuple[float, int]] = []
    for place, weight in enumerate(weights):
        share = max(1, round(weight * scale))
        turns += [((turn + 0.5) / share, place) for turn in range(share)]
    return [endpoints[place] for _, place in sorted(turns)]
