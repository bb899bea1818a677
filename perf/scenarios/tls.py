"""`tls`: the client speaks HTTP/1.1 over TLS, the upstream stays plain."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Scenario
from perf.peers.gateway import gateway
from perf.peers.nginx import nginx


def scenario() -> Scenario:
    return Scenario(
        name="tls",
        summary="as plain, over TLS: HTTP/1.1, kept connections, a self-signed P-256 certificate",
        contenders=(gateway(tls=True), nginx(tls=True)),
        goals=(Goal("nginx", 2.3, 1.8),),
        checks=(Check(body_bytes=SMALL_BODY),),
    )
