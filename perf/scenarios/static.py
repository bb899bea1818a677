"""`static-small`, `static-large`: the profile reverse-proxy with the files of a folder before an application.

Sent as they are: the client does not say that it accepts any coding.
"""

from __future__ import annotations

from perf.lab import LARGE_FILE, SMALL_FILE
from perf.model import Check, Load, Scenario
from perf.peers.caddy import caddy
from perf.peers.gateway import gateway
from perf.peers.nginx import LEAST_CONN, nginx


def small() -> Scenario:
    return _scenario("small", "2 KiB", "/assets/small.css", SMALL_FILE)


def large() -> Scenario:
    return _scenario("large", "1 MiB", "/assets/large.bin", LARGE_FILE)


def _scenario(kind: str, size: str, path: str, body_bytes: int) -> Scenario:
    return Scenario(
        name=f"static-{kind}",
        summary=f"the profile reverse-proxy with a folder of files, one of {size}; peers log, too",
        contenders=(
            gateway(profile="reverse-proxy", files=True),
            nginx(balancer=LEAST_CONN, files=True),
            caddy(balancer=True, files=True),
        ),
        load=Load(path=path),
        checks=(Check(body_bytes=body_bytes, path=path),),
    )
