"""Bounded loads: no endpoint may be far ahead of the others.

Owns the bound. Who is asked instead is the affair of the balancer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Annotated

from pydantic import AfterValidator

from gateway import Endpoint


def _checked(factor: float) -> float:
    if factor and (factor < 1 or not isfinite(factor)):
        raise ValueError(f"expected 0 for no bound, or at least 1 such as 1.25, not {factor:g}")
    return factor


BalanceFactor = Annotated[float, AfterValidator(_checked)]
"""How many times its part an endpoint may have; 0 for no bound."""

ENDPOINTS_AN_EXCHANGE = 50
"""How many endpoints may be counted for each exchange; a count of more of them serves several exchanges."""


class LoadBound:
    """At most `factor` times an endpoint's part of all exchanges in flight, by weight, rounded up.

    Exact below 100 endpoints. Of more, one count of what is in flight serves endpoints / 50 exchanges. Counts are
    those of this worker.
    """

    __slots__ = ("_allowed", "_endpoints", "_factor", "_left", "_period", "_weights")

    def __init__(self, endpoints: Sequence[Endpoint], factor: float) -> None:
        self._endpoints = endpoints
        self._factor = factor
        self._weights = sum(endpoint.weight for endpoint in endpoints)
        self._period = max(1, len(endpoints) // ENDPOINTS_AN_EXCHANGE)
        self._left = 0
        self._allowed = 0.0

    def is_too_much_for(self, endpoint: Endpoint) -> bool:
        """Whether an exchange that has come would be too many; counts what is in flight if it is time to."""
        # hot: l7-balancer
        if self._left:
            self._left -= 1
        else:
            self._left = self._period - 1
            # One more: the exchange itself.
            self._allowed = self._factor * (sum([endpoint.in_flight for endpoint in self._endpoints]) + 1)
        return endpoint.in_flight * self._weights >= self._allowed * endpoint.weight

    def first_with_room(self, line: Iterable[Endpoint]) -> Endpoint | None:
        """The first of others that may have the same exchange."""
        # hot: l7-balancer
        weights, allowed = self._weights, self._allowed
        for endpoint in line:
            if endpoint.in_flight * weights < allowed * endpoint.weight:
                return endpoint
        return None
