"""`plugins`: what each plugin adds to the bare core, one at a time."""

from __future__ import annotations

from perf.lab import SMALL_BODY
from perf.model import Check, Goal, Scenario
from perf.peers.gateway import gateway, with_plugin

EMPTY = "+ empty hook"
COPIES = 40
"""As many as hooks/empty.py has: one alone would drown in the noise."""


def scenario() -> Scenario:
    empty = tuple(f'"./empty.py:Empty{n}"' for n in range(COPIES))
    return Scenario(
        name="plugins",
        summary="plain, with one plugin at a time",
        contenders=(
            gateway("core"),
            gateway(EMPTY, plugins=empty, repeats=COPIES, note=f"{COPIES} of them, divided by {COPIES}"),
            with_plugin("request-id"),
            with_plugin("headers", 'response.set.x-served-by = "gateway"'),
            with_plugin("access-log"),
        ),
        goals=(Goal(EMPTY, 0.3),),
        checks=(Check(body_bytes=SMALL_BODY),),
        compare="added",
    )
