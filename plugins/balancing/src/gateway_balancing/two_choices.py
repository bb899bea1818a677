"""The balancer `two-choices`: of two endpoints drawn by weight, the one with less to do.

Owns the draw of two, which `least-time` makes, too.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate

from gateway import Endpoint, Exchange
from gateway_balancing.random_draw import draw_elsewhere


class TwoChoices:
    """Draw two different endpoints by weight, and take the one with fewer exchanges in flight for its weight.

    The load of the busiest is far less than with one draw, and workers that know nothing of each other do not run
    to the same endpoint. Counts are those of this worker. `draw` gives numbers from 0 up to, not including, 1.
    """

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._endpoints: Sequence[Endpoint] = ()
        self._pairs = Pairs((), draw)

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint:
        """The less loaded of two; the first drawn if they are equals."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts:
                one, other = draw_elsewhere(endpoints, self._draw), draw_elsewhere(endpoints, self._draw)
                return other if other.in_flight * one.weight < one.in_flight * other.weight else one
            self._pairs = Pairs(endpoints, self._draw)
            self._endpoints = endpoints
        first, second = self._pairs.take()
        one, other = endpoints[first], endpoints[second]
        return other if other.in_flight * one.weight < one.in_flight * other.weight else one


class Pairs:
    """Draws two different endpoints by weight, as places in the list; of a single one, it twice."""

    __slots__ = ("_bounds", "_count", "_draw")

    def __init__(self, endpoints: Sequence[Endpoint], draw: Callable[[], float]) -> None:
        weights = [endpoint.weight for endpoint in endpoints]
        self._draw = draw
        self._count = len(weights)
        self._bounds = list(accumulate(weights)) if len(set(weights)) > 1 else None

    def take(self) -> tuple[int, int]:
        """The next two. The second is drawn from what the first leaves."""
        # hot: l7-balancer
        draw, bounds, count = self._draw, self._bounds, self._count
        if count == 1:
            return 0, 0
        if bounds is None:
            first, second = int(draw() * count), int(draw() * (count - 1))
            return first, second + (second >= first)
        last = count - 1
        first = bisect(bounds, draw() * bounds[-1], 0, last)
        start = bounds[first - 1] if first else 0
        weight = bounds[first] - start
        point = draw() * (bounds[-1] - weight)
        return first, bisect(bounds, point + weight if point >= start else point, 0, last)
