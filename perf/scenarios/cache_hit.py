"""`cache-hit`: the profile reverse-proxy as it stands, with a small response that it has stored."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Load, Scenario
from perf.peers.gateway import gateway
from perf.peers.nginx import LEAST_CONN, nginx
from perf.peers.varnish import varnish

PATH = "/cacheable"


def scenario() -> Scenario:
    return Scenario(
        name="cache-hit",
        summary="the profile reverse-proxy as it stands, a stored body of 132 bytes; nginx logs, too",
        contenders=(gateway(profile="reverse-proxy"), nginx(balancer=LEAST_CONN, cache=True), varnish()),
        goals=(Goal("varnish", 1.5, 1.2),),
        load=Load(path=PATH),
        checks=(Check(body_bytes=SMALL_BODY, path=PATH),),
    )
