"""`compress-gzip`, `compress-zstd`: the profile reverse-proxy as it stands, with text that no cache may keep.

Accept-Encoding alone tells the gateway which coding. Levels are those of the profile, gzip 5 and zstd 3. nginx has
gzip at 5, too, where its zlib makes 2 % more of this body than zlib-ng; at 6 it would be 1 %, for more CPU. Caddy's
default zstd is meant to be like level 3, and comes to the same size. Neither peer has a cache: it could only be in
their way.
"""

from __future__ import annotations

from perf.lab import TEXT_BODY
from perf.model import Check, Contender, Load, Scenario
from perf.peers.caddy import caddy
from perf.peers.gateway import gateway
from perf.peers.nginx import LEAST_CONN, nginx

GZIP_LEVEL = 5
PATH = "/text"


def with_gzip() -> Scenario:
    return _scenario("gzip", nginx(balancer=LEAST_CONN, gzip_level=GZIP_LEVEL))


def with_zstd() -> Scenario:
    return _scenario("zstd", caddy(balancer=True, coding="zstd"))


def _scenario(coding: str, peer: Contender) -> Scenario:
    accepting = (f"Accept-Encoding: {coding}",)
    return Scenario(
        name=f"compress-{coding}",
        summary=f"the profile reverse-proxy as it stands, 32 KiB of JSON anew in {coding}; the peer logs, too",
        contenders=(gateway(profile="reverse-proxy"), peer),
        load=Load(path=PATH, headers=accepting),
        checks=(
            Check(body_bytes=TEXT_BODY, path=PATH),
            Check(body_bytes=TEXT_BODY, path=PATH, headers=accepting, coding=coding),
        ),
    )
