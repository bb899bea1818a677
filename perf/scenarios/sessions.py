"""`sessions`: the profile l7-balancer with cookie sessions and checks, which it leaves to the site."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Load, Scenario
from perf.peers.caddy import caddy
from perf.peers.envoy import envoy
from perf.peers.gateway import gateway
from perf.peers.haproxy import haproxy
from perf.peers.nginx import BY_SESSION, nginx

SESSIONS = 64


def scenario() -> Scenario:
    return Scenario(
        name="sessions",
        summary=f"l7-balancer with {SESSIONS} sessions kept by cookie and endpoints checked each second",
        contenders=(
            gateway(profile="l7-balancer", endpoints=2, sessions=True),
            nginx(endpoints=2, balancer=BY_SESSION),
            haproxy(endpoints=2, balancer=True, sessions=True),
            envoy(endpoints=2, balancer=True, sessions=True),
            caddy(endpoints=2, balancer=True, sessions=True),
        ),
        goals=(Goal("nginx", 3.3, 2.4), Goal("envoy", 0.8, 0.6)),
        load=Load(sessions=SESSIONS),
        checks=(Check(body_bytes=SMALL_BODY),),
    )
