"""`plain`: the core alone, one upstream, a small body."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Scenario
from perf.peers.caddy import caddy
from perf.peers.envoy import envoy
from perf.peers.gateway import gateway
from perf.peers.haproxy import haproxy
from perf.peers.http_proxy import http_proxy
from perf.peers.nginx import nginx


def scenario() -> Scenario:
    return Scenario(
        name="plain",
        summary="core only: no profile, no plugin, one endpoint, 132-byte body, no log",
        contenders=(gateway(), nginx(), haproxy(), envoy(), caddy(), http_proxy()),
        goals=(Goal("nginx", 2.8, 2.0),),
        checks=(Check(body_bytes=SMALL_BODY),),
    )
