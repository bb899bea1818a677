"""The balancer `rendezvous`: every endpoint draws a lot for the key, and the best lot wins.

Highest random weight hashing (Thaler and Ravishankar, 1998), by weight. No table and no memory, but every endpoint
is looked at: for tens of them, not for thousands.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from math import log1p

from gateway import Endpoint
from gateway_balancing.by_key import ByKey, KeySettings
from gateway_balancing.keys import key_function
from gateway_balancing.shares import Shares


class Rendezvous(ByKey):
    """Consistent hashing without a table: one of n endpoints that goes or comes moves only 1/n of the keys."""

    class Config(KeySettings):
        """What decides where an exchange goes."""

    def __init__(self, config: Config) -> None:
        super().__init__(key_function(config.key), Lots, config.balance_factor, config.without_key)


class Lots:
    """Draws a lot for each endpoint; the least one wins.

    An endpoint's lot is the fraction of place times a number that is its own: uniform for uniform places, and
    two multiplications of floats are all that it takes. Divided by the share after a logarithm, lots win in
    proportion to the shares, each independent of who else takes part.
    """

    __slots__ = ("_endpoints", "_numbers", "_shares")

    def __init__(self, shares: Shares) -> None:
        self._endpoints = [endpoint for endpoint, _ in shares]
        self._numbers = [_number(endpoint.name) for endpoint in self._endpoints]
        is_even = len({share for _, share in shares}) == 1
        self._shares = None if is_even else [share for _, share in shares]

    def find(self, place: int) -> Endpoint:
        """The winner."""
        # hot: l7-balancer
        lots = self._draw(place)
        return self._endpoints[lots.index(min(lots))]

    def walk(self, place: int) -> Iterator[Endpoint]:
        """The winner, the second, and so on."""
        lots = self._draw(place)
        for number in sorted(range(len(lots)), key=lots.__getitem__):
            yield self._endpoints[number]

    def _draw(self, place: int) -> list[float]:
        # hot: l7-balancer
        factor = place + 1.0
        if self._shares is None:
            return [factor * number % 1.0 for number in self._numbers]
        return [
            -log1p(-(factor * number % 1.0)) / share
            for number, share in zip(self._numbers, self._shares, strict=True)
        ]


def _number(name: str) -> float:
    """A number from 0 up to 1 that belongs to a name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
