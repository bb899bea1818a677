"""`l7-balancer`: the shipped profile as it stands, two endpoints. Peers do the same work."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Scenario
from perf.peers.caddy import caddy
from perf.peers.envoy import envoy
from perf.peers.gateway import gateway
from perf.peers.haproxy import haproxy
from perf.peers.nginx import LEAST_CONN, nginx

PROFILE = "l7-balancer"


def scenario() -> Scenario:
    return Scenario(
        name=PROFILE,
        summary="the shipped profile as it stands, two endpoints; peers log, number and retry as it does",
        contenders=(
            gateway(profile=PROFILE, endpoints=2),
            nginx(endpoints=2, balancer=LEAST_CONN),
            haproxy(endpoints=2, balancer=True),
            envoy(endpoints=2, balancer=True),
            caddy(endpoints=2, balancer=True),
        ),
        goals=(Goal("nginx", 3.3, 2.4), Goal("envoy", 0.8, 0.6)),
        checks=(Check(body_bytes=SMALL_BODY),),
    )
