"""The balancer `round-robin`: one after the other, whatever their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from gateway import Endpoint, Exchange
from gateway_balancing.random_draw import draw_elsewhere


class RoundRobin:
    """Take the endpoints in turn. Each worker has a round of its own.

    When endpoints come or go, the round goes on behind the one that had the last turn.
    """

    ignores_weights = True

    def __init__(self) -> None:
        self._endpoints: Sequence[Endpoint] = ()
        self._turns: Iterator[Endpoint] = iter(())
        self._latest: Endpoint | None = None

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint:
        """The next one."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts:
                return draw_elsewhere(endpoints)
            self._prepare(endpoints)
        self._latest = endpoint = next(self._turns)
        return endpoint

    def _prepare(self, endpoints: Sequence[Endpoint]) -> None:
        start = _place_after(self._latest, self._endpoints, endpoints)
        self._turns = cycle((*endpoints[start:], *endpoints[:start]))
        self._endpoints = endpoints


def _place_after(latest: Endpoint | None, old: Sequence[Endpoint], new: Sequence[Endpoint]) -> int:
    """Where the round goes on: at the first endpoint still there of those that were next."""
    if latest is None:
        return 0
    place = old.index(latest) + 1
    for endpoint in (*old[place:], *old[:place]):
        if endpoint in new:
            behind = endpoint is latest
            return (new.index(endpoint) + behind) % len(new)
    return 0
