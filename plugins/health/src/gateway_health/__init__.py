"""The plugin `health`: endpoints that are checked, and that are ejected when exchanges fail at them.

Owns the hooks and what they cost each exchange. Checking is in `checker`, ejecting in `ejector`.
"""

from __future__ import annotations

import random

from gateway import (
    App,
    Attempt,
    BadResponse,
    ConnectFailed,
    Endpoint,
    EndpointState,
    Exchange,
    GatewayError,
    Registry,
    ResponseCut,
    Upstream,
    UpstreamClosed,
    UpstreamTimeout,
    hookimpl,
)
from gateway_health.checker import Checker
from gateway_health.ejector import COMPLAINTS, Ejector
from gateway_health.observed import Observed
from gateway_health.settings import Passive, Settings

__all__ = ["Health", "Passive", "Settings"]

_CAUSES: dict[str, type[GatewayError]] = {
    "connect": ConnectFailed,
    "timeout": UpstreamTimeout,
    "closed": UpstreamClosed,
    "invalid": BadResponse,
    "cut": ResponseCut,
}


class Health:
    """Check endpoints, and eject those at which exchanges fail.

    Checks and decisions are made once for the whole gateway, in one worker, and hold in all of them. What that
    worker knew outlives it: the one that replaces it goes on from the endpoints' marks and from what the bus keeps.
    """

    api = 1
    Config = Settings

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._settings: dict[str, Settings] = {}
        self._upstreams: tuple[Upstream, ...] = ()
        self._observed: dict[Endpoint, Observed] = {}
        self._checkers: list[Checker] = []
        self._ejector: Ejector | None = None

    @hookimpl
    def register(self, registry: Registry) -> None:
        """Let every upstream have settings of its own over these."""
        registry.add_upstream_table("health", Settings, self._config.model_dump(exclude_unset=True))

    @hookimpl
    def startup(self, app: App) -> None:
        """Begin to check, in the worker whose job it is."""
        self._settings = app.tables["health"]
        self._upstreams = tuple(app.upstreams.values())
        if not app.once("health"):
            return
        self._ejector = Ejector(app, self._settings)
        self._ejector.start()
        rng = random.Random()
        for name, upstream in app.upstreams.items():
            checker = Checker(app, upstream, self._settings[name], rng)
            self._checkers.append(checker)
            checker.start()

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """End the checks. What is held against endpoints stays, for whoever goes on."""
        if self._ejector is not None:
            self._ejector.stop()
        for checker in self._checkers:
            await checker.stop()

    @hookimpl
    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
        """Count how an endpoint did. A client that left, and a kept connection that was closed, say nothing."""
        # hot: l7-balancer
        observed = self._observed.get(attempt.endpoint)
        if observed is None:
            observed = self._meet(exchange, attempt.endpoint)
        status = attempt.status
        if attempt.error is None and status not in observed.bad_statuses:
            if status is not None:
                observed.requests += 1
                observed.in_a_row = 0
            return
        self._blame(exchange, observed, attempt)

    def _meet(self, exchange: Exchange, endpoint: Endpoint) -> Observed:
        """Begin to count an endpoint; those that are gone are dropped at the same time."""
        there = {each for upstream in self._upstreams for each in upstream.endpoints}
        self._observed = {each: counts for each, counts in self._observed.items() if each in there}
        upstream = exchange.upstream.name
        observed = Observed(upstream, endpoint.name, self._settings[upstream].passive)
        self._observed[endpoint] = observed
        return observed

    def _blame(self, exchange: Exchange, observed: Observed, attempt: Attempt) -> None:
        what = cause(observed, attempt)
        why = observed.fail(attempt.ended) if what else ""
        if why:
            message = {
                "upstream": observed.upstream,
                "endpoint": observed.endpoint,
                "why": f"{why}, lastly: {what}",
            }
            exchange.app.bus.publish(COMPLAINTS, message)

    @hookimpl
    def on_endpoint(self, endpoint: Endpoint, old: EndpointState, new: EndpointState, reason: str) -> None:
        """Bring ejected endpoints back if this was the last of the others."""
        if self._ejector is None or new is EndpointState.UP:
            return
        for upstream in self._upstreams:
            if endpoint in upstream.endpoints:
                self._ejector.spare_the_last(upstream)


def cause(observed: Observed, attempt: Attempt) -> str:
    """What an endpoint is to be blamed for in words; empty if for nothing that counts."""
    if attempt.status in observed.bad_statuses:
        return f"status {attempt.status}"
    for name in observed.counted:
        if isinstance(attempt.error, _CAUSES[name]):
            return str(attempt.error).removeprefix(f"endpoint {attempt.endpoint.name}: ")
    return ""
