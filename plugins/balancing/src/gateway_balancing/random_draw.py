"""The balancer `random`: a draw by weight.

Owns the draw, which the others use for further attempts, too. Keeps no account of what it drew.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate

from gateway import Endpoint, Exchange


class Random:
    """Draw an endpoint; one with twice the weight comes twice as often.

    Needs no memory and no agreement between workers. `draw` gives numbers from 0 up to, not including, 1.
    """

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._endpoints: Sequence[Endpoint] = ()
        self._bounds: list[int] | None = None
        self._last = 0

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint:
        """Draw one of the endpoints."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts:
                return draw_elsewhere(endpoints, self._draw)
            self._prepare(endpoints)
        bounds = self._bounds
        if bounds is None:
            return endpoints[int(self._draw() * len(endpoints))]
        return endpoints[bisect(bounds, self._draw() * bounds[-1], 0, self._last)]

    def _prepare(self, endpoints: Sequence[Endpoint]) -> None:
        is_even = len({endpoint.weight for endpoint in endpoints}) == 1
        self._bounds = None if is_even else _bounds(endpoints)
        self._last = len(endpoints) - 1
        self._endpoints = endpoints


def draw_elsewhere(endpoints: Sequence[Endpoint], draw: Callable[[], float] = random.random) -> Endpoint:
    """Draw by weight without a table: for a further attempt.

    Its candidates are a tuple of their own, so a table would be made for it alone and again for the next
    exchange. And a draw spreads the share of the endpoint that failed over all the others.
    """
    bounds = _bounds(endpoints)
    return endpoints[bisect(bounds, draw() * bounds[-1], 0, len(bounds) - 1)]


def _bounds(endpoints: Sequence[Endpoint]) -> list[int]:
    """Where each endpoint's share of the whole weight ends."""
    return list(accumulate(endpoint.weight for endpoint in endpoints))
