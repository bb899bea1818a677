"""`scale`: the shipped profile with 100 endpoints and 1,000 routes; a request for one in their middle."""

from __future__ import annotations

from perf.lab import MOST_ENDPOINTS, SMALL_BODY
from perf.model import Check, Load, Routes, Scenario
from perf.peers.envoy import envoy
from perf.peers.gateway import gateway
from perf.peers.nginx import LEAST_CONN, nginx

HOSTS, PATHS = 100, 10
ROUTES: Routes = tuple((f"h{host}.example", tuple(f"/p{path}/" for path in range(PATHS))) for host in range(HOSTS))
HOST, PATH = "Host: h50.example", "/p5/orders"


def scenario() -> Scenario:
    return Scenario(
        name="scale",
        summary=f"the shipped profile with {MOST_ENDPOINTS} endpoints and {HOSTS * PATHS:,} routes",
        contenders=(
            gateway(profile="l7-balancer", endpoints=MOST_ENDPOINTS, routes=ROUTES),
            nginx(balancer=LEAST_CONN, endpoints=MOST_ENDPOINTS, routes=ROUTES),
            envoy(balancer=True, endpoints=MOST_ENDPOINTS, routes=ROUTES),
        ),
        load=Load(path=PATH, headers=(HOST,)),
        checks=(Check(body_bytes=SMALL_BODY, path=PATH, headers=(HOST,)),),
    )
