"""The plugin `balancing`: it registers the balancers and does nothing else."""

from __future__ import annotations

from gateway import Registry, hookimpl
from gateway_balancing.least_connections import LeastConnections
from gateway_balancing.least_time import LeastTime
from gateway_balancing.maglev import Maglev
from gateway_balancing.random_draw import Random
from gateway_balancing.rendezvous import Rendezvous
from gateway_balancing.ring_hash import RingHash
from gateway_balancing.round_robin import RoundRobin
from gateway_balancing.source_hash import SourceHash
from gateway_balancing.two_choices import TwoChoices
from gateway_balancing.weighted_round_robin import WeightedRoundRobin

__all__ = [
    "Balancing",
    "LeastConnections",
    "LeastTime",
    "Maglev",
    "Random",
    "Rendezvous",
    "RingHash",
    "RoundRobin",
    "SourceHash",
    "TwoChoices",
    "WeightedRoundRobin",
]


class Balancing:
    """Make the balancers known to upstreams: in turn, by load, by response time, and by a key of the request."""

    api = 1

    @hookimpl
    def register(self, registry: Registry) -> None:
        """Register them. An upstream chooses one by name: `balancer = "least-connections"`."""
        registry.add_balancer("random", Random)
        registry.add_balancer("round-robin", RoundRobin)
        registry.add_balancer("weighted-round-robin", WeightedRoundRobin)
        registry.add_balancer("least-connections", LeastConnections)
        registry.add_balancer("two-choices", TwoChoices)
        registry.add_balancer("least-time", LeastTime)
        registry.add_balancer("source-hash", SourceHash)
        registry.add_balancer("ring-hash", RingHash)
        registry.add_balancer("maglev", Maglev)
        registry.add_balancer("rendezvous", Rendezvous)
