"""`large`: a response body of 1 MiB, streamed."""

from __future__ import annotations

from perf.lab import LARGE_BODY
from perf.model import Check, Goal, Load, Scenario
from perf.peers.gateway import gateway
from perf.peers.haproxy import haproxy
from perf.peers.nginx import nginx


def scenario() -> Scenario:
    return Scenario(
        name="large",
        summary="core only, one endpoint, a response body of 1 MiB",
        contenders=(gateway(), nginx(), haproxy()),
        goals=(Goal("nginx", 2.0, 1.3),),
        load=Load(path="/large"),
        checks=(Check(path="/large", body_bytes=LARGE_BODY),),
    )
