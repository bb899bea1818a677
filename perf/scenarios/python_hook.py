"""`python-hook`: one third-party hook in Python decides on every request."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Load, Scenario
from perf.peers.gateway import gateway
from perf.peers.nginx import nginx_auth_request

TOKEN = ("x-token: open",)


def scenario() -> Scenario:
    return Scenario(
        name="python-hook",
        summary="a Python decision on every request: a local plugin file, against a Python service that nginx asks",
        contenders=(gateway(plugins=('"./deciding.py:Deciding"',)), nginx_auth_request()),
        goals=(Goal("nginx + auth_request", 0.35, 0.28),),
        load=Load(headers=TOKEN),
        checks=(Check(body_bytes=SMALL_BODY, headers=TOKEN), Check(status=403)),
    )
