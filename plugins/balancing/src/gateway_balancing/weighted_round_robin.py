"""The balancer `weighted-round-robin`: in turn and by weight, spread as evenly as it can be."""

from __future__ import annotations

from collections.abc import Sequence

from gateway import Endpoint, Exchange
from gateway_balancing.random_draw import draw_elsewhere
from gateway_balancing.smooth import SmoothSequence

REMEMBERED = 64
"""Names remembered beyond four for each endpoint, so that discovery cannot fill the memory."""


class WeightedRoundRobin:
    """Follow the smooth weighted sequence. Each worker has a round of its own.

    When endpoints come, go or change their weight, everyone keeps the credit that it had: one that went down
    and is up again takes its old place, and nobody gets a rush of turns.
    """

    def __init__(self) -> None:
        self._endpoints: Sequence[Endpoint] = ()
        self._sequence = SmoothSequence((), {})
        self._credits: dict[str, int] = {}

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint:
        """The next one."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts:
                return draw_elsewhere(endpoints)
            self._prepare(endpoints)
        return self._sequence.take()

    def _prepare(self, endpoints: Sequence[Endpoint]) -> None:
        latest = self._sequence.credits()
        is_full = len(self._credits) > REMEMBERED + 4 * len(endpoints)
        self._credits = latest if is_full else {**self._credits, **latest}
        self._sequence = SmoothSequence(((endpoint, endpoint.weight) for endpoint in endpoints), self._credits)
        self._endpoints = endpoints
