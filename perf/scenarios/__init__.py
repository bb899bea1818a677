"""Every scenario, in the order in which they run. A new one is a new file here and one line below."""

from __future__ import annotations

from collections.abc import Callable

from perf.model import Scenario
from perf.scenarios import (
    cache_hit,
    compress,
    l7_balancer,
    large,
    plain,
    plugins,
    python_hook,
    scale,
    sessions,
    static,
    tls,
)

SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "plain": plain.scenario,
    "l7-balancer": l7_balancer.scenario,
    "sessions": sessions.scenario,
    "scale": scale.scenario,
    "python-hook": python_hook.scenario,
    "tls": tls.direct,
    "tls-sni": tls.by_name,
    "large": large.scenario,
    "cache-hit": cache_hit.scenario,
    "compress-gzip": compress.with_gzip,
    "compress-zstd": compress.with_zstd,
    "static-small": static.small,
    "static-large": static.large,
    "plugins": plugins.scenario,
}
