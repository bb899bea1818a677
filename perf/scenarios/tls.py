"""`tls` and `tls-sni`: the client speaks HTTP/1.1 over TLS, the upstream stays plain.

The gateway terminates TLS in the server core if there is one certificate, and at an edge of its own if it has to
choose among several.
"""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Contender, Goal, Scenario
from perf.peers.gateway import gateway
from perf.peers.haproxy import haproxy
from perf.peers.nginx import nginx


def direct() -> Scenario:
    """One certificate."""
    how = "as plain, over TLS: HTTP/1.1, kept connections, a self-signed P-256 certificate"
    return _scenario("tls", how, gateway(tls=True), (Goal("nginx", 2.3, 1.8),))


def by_name() -> Scenario:
    """A certificate chosen by the client's host; recorded, without a goal."""
    how = "as tls, with certificates by name, for which the gateway has an edge before its server"
    return _scenario("tls-sni", how, gateway(tls=True, by_name=True, plugins=('"tls"',)), ())


def _scenario(name: str, how: str, subject: Contender, goals: tuple[Goal, ...]) -> Scenario:
    return Scenario(
        name=name,
        summary=how,
        contenders=(subject, nginx(tls=True), haproxy(tls=True)),
        goals=goals,
        checks=(Check(body_bytes=SMALL_BODY),),
    )
