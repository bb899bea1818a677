"""Bounded loads: no endpoint may be far ahead of the others.

Owns the bound. Who is asked instead is the affair of the balancer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Annotated

from pydantic import AfterValidator

from gateway import Endpoint, Exchange


def _checked(factor: float) -> float:
    if factor and (factor < 1 or not isfinite(factor)):
        raise ValueError(f"expected 0 for no bound, or at least 1 such as 1.25, not {factor:g}")
    return factor


BalanceFactor = Annotated[float, AfterValidator(_checked)]
"""How many times its part an endpoint may have; 0 for no bound."""


class LoadBound:
    """At most `factor` times an endpoint's part, by weight, of all that is in flight at the upstream, rounded up.

    Counts are those of this worker. What is still in flight at endpoints that get nothing new counts as well.
    """

    __slots__ = ("_factor", "_weights")

    def __init__(self, endpoints: Sequence[Endpoint], factor: float) -> None:
        self._factor = factor
        self._weights = sum(endpoint.weight for endpoint in endpoints)

    def is_too_much_for(self, endpoint: Endpoint, exchange: Exchange) -> bool:
        """Whether an exchange that has come would be too many."""
        # hot: l7-balancer
        most = self._factor * (exchange.upstream.in_flight + 1) * endpoint.weight  # one more: the exchange itself
        return endpoint.in_flight * self._weights >= most

    def first_with_room(self, line: Iterable[Endpoint], exchange: Exchange) -> Endpoint | None:
        """The first of others that may have the exchange."""
        # hot: l7-balancer
        weights, allowed = self._weights, self._factor * (exchange.upstream.in_flight + 1)
        for endpoint in line:
            if endpoint.in_flight * weights < allowed * endpoint.weight:
                return endpoint
        return None
