"""The plugin `balancing`: it registers the balancers and does nothing else."""

from __future__ import annotations

from gateway import Registry, hookimpl
from gateway_balancing.least_connections import LeastConnections
from gateway_balancing.random_draw import Random
from gateway_balancing.round_robin import RoundRobin
from gateway_balancing.weighted_round_robin import WeightedRoundRobin

__all__ = ["Balancing", "LeastConnections", "Random", "RoundRobin", "WeightedRoundRobin"]


class Balancing:
    """Make `random`, `round-robin`, `weighted-round-robin` and `least-connections` known to upstreams."""

    api = 1

    @hookimpl
    def register(self, registry: Registry) -> None:
        """Register them. An upstream chooses one by name: `balancer = "least-connections"`."""
        registry.add_balancer("random", Random)
        registry.add_balancer("round-robin", RoundRobin)
        registry.add_balancer("weighted-round-robin", WeightedRoundRobin)
        registry.add_balancer("least-connections", LeastConnections)
