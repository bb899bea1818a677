"""`l7-balancer`: the shipped profile as it stands, two endpoints. Peers log if the profile does."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Scenario
from perf.peers.caddy import caddy
from perf.peers.envoy import envoy
from perf.peers.gateway import gateway, profile_has
from perf.peers.haproxy import haproxy
from perf.peers.nginx import nginx

PROFILE = "l7-balancer"


def scenario() -> Scenario:
    log = profile_has(PROFILE, "access-log")
    return Scenario(
        name=PROFILE,
        summary=f"the shipped profile as it stands, two endpoints, access log {'on' if log else 'off'}",
        contenders=(
            gateway(profile=PROFILE, endpoints=2),
            nginx(endpoints=2, log=log),
            haproxy(endpoints=2, log=log),
            envoy(endpoints=2, log=log),
            caddy(endpoints=2, log=log),
        ),
        goals=(Goal("nginx", 3.3, 2.4), Goal("envoy", 0.8, 0.6)),
        checks=(Check(body_bytes=SMALL_BODY),),
    )
