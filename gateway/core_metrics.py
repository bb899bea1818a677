"""What the core itself shows in `gateway metrics`.

Owns names and help texts. Counts nothing: the App and its parts do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.routing import Route

_OF_UPSTREAMS = {
    "in_flight": "Exchanges under way at the endpoints of an upstream",
    "waiting": "Exchanges that wait for a connection to an endpoint (pool.max_connections)",
}


def show_core(app: App) -> None:
    """Register what an App counts."""
    add = app.metrics
    add.counter("exchanges", "Requests that began since the configuration is in force", lambda: app.exchanges)
    add.gauge("exchanges_in_flight", "Requests that have not ended", lambda: app.in_flight)
    if any(way.has_edge for way in app.ways):
        denied, failed = (partial(getattr, app, name) for name in ("connections_denied", "handshakes_failed"))
        add.counter("edge_connections_denied", "Connections that a plugin denied", denied)
        add.counter("edge_handshakes_failed", "Connections that ended before they were let in", failed)
    for upstream in app.upstreams.values():
        for name, meaning in _OF_UPSTREAMS.items():
            read = partial(getattr, upstream, name)
            add.gauge(f"upstream_{name}", meaning, read, upstream=upstream.name)
    for route in (*app.router.routes, app.unrouted):
        for kind in range(1, 6):
            labels = {"route": route.name, "status": f"{kind}xx"}
            add.counter("responses", "Responses to clients", partial(_responses, route, kind), **labels)
        seconds = partial(_seconds, route)
        add.counter("response_seconds", "Seconds that exchanges took together", seconds, route=route.name)
    for mirror in app.mirrors:
        if mirror is not None:
            mirror.show_in(add)


def _responses(route: Route, kind: int) -> int:
    return route.tally.responses[kind]


def _seconds(route: Route) -> float:
    return route.tally.seconds
