"""The protocols of balancers, and the one that the core brings.

Owns the contract. The strategies people choose are plugins (`gateway-balancing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.model import Attempt, Exchange
    from gateway.upstream.endpoint import Endpoint


WEIGHED_INSTEAD = "weighted-round-robin"
"""What is recommended to those who set weights and have a balancer that takes no notice of them."""


class Balancer(Protocol):
    """A strategy that picks an endpoint; one instance an upstream and worker.

    One that takes no notice of weights says so by `ignores_weights = True` in its class, so that operators who set
    some are told.
    """

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """Pick one of the available endpoints; None means that none will do. Synchronous and quick.

        `endpoints` is never empty, and on a first attempt it is the same tuple object for as long as no
        endpoint's state or weight changes: tables derived from it may be kept under its identity. On a
        further attempt it is a shorter tuple, without the endpoints that failed.
        """
        ...


class LearningBalancer(Balancer, Protocol):
    """A balancer that goes by how attempts went: one with a method `ended` is told of them."""

    def ended(self, attempt: Attempt) -> None:
        """An attempt at this upstream has ended, whoever chose its endpoint. Synchronous, quick and isolated.

        Times of the attempt are `started`, `answered` and `ended`; it has a status, an error, or neither of them if
        it was given up.
        """
        ...


class First:
    """The first available endpoint in the listed order: active-passive, and enough for one endpoint."""

    ignores_weights = True

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """The first one."""
        return endpoints[0]
