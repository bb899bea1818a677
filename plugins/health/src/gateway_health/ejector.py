"""Eject endpoints that workers complain of, and bring them back: once for the whole gateway.

Owns the marks of the source `outlier` and their ends. What is kept on the bus outlives the worker that runs this:
the next one goes on from there. Whom to eject, and for how long, is decided by `ejections`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from gateway import App, EndpointState, Upstream
from gateway_health.ejections import Ejection, Ejections
from gateway_health.settings import Settings

log = logging.getLogger("gateway.health")

COMPLAINTS = "health.complaint"
"""Topic: an endpoint has failed too often, as one worker sees it."""

EJECTIONS = "health.ejection"
"""Topic, kept: how often an endpoint was ejected, and until when."""

SOURCE = "outlier"

LOOK_SECONDS = 1.0
"""While an endpoint is out: how long it may take until it is seen that no other is left."""


class Ejector:
    """The ejections of all upstreams. Times are of the machine's monotonic clock, which all workers share."""

    def __init__(
        self, app: App, settings: dict[str, Settings], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._clock = clock
        self._ejections = {name: Ejections(each.passive) for name, each in settings.items() if each.passive.is_on}
        self._timer: asyncio.TimerHandle | None = None
        self._subscriptions: list[Callable[[], None]] = []

    def start(self) -> None:
        """Go on with the ejections that there are, and listen to complaints."""
        bus = self._app.bus
        self._subscriptions = [
            bus.subscribe(EJECTIONS, self._on_ejection),
            bus.subscribe(COMPLAINTS, self._on_complaint),
        ]
        for upstream in self._app.upstreams.values():
            for endpoint in upstream.endpoints:
                if SOURCE in endpoint.marks and endpoint.name not in self._out(upstream):
                    self._bring_back(upstream.name, endpoint.name, "nothing is held against it any more")
        self._look()

    def stop(self) -> None:
        """Leave the ejections to whoever comes next."""
        for unsubscribe in self._subscriptions:
            unsubscribe()
        if self._timer is not None:
            self._timer.cancel()

    def _on_complaint(self, message: dict[str, Any]) -> None:
        upstream = self._app.upstreams.get(message["upstream"])
        ejections = self._ejections.get(message["upstream"])
        if upstream is None or ejections is None or not self._app.once("health"):
            return
        name, why, now = message["endpoint"], message["why"], self._clock()
        known = {endpoint.name for endpoint in upstream.endpoints}
        up = {endpoint.name for endpoint in upstream.endpoints if endpoint.is_available}
        ejection = ejections.propose(name, known, up, now)
        if ejection is None:
            log.debug("endpoint %s: %s; it is out already, or too few others are left", name, why)
            return
        reason = f"{why}; out for {round(ejection.until - now, 1):g} s"
        self._app.mark(upstream.name, name, SOURCE, EndpointState.DOWN, reason, owner="health")
        place = {"upstream": upstream.name, "endpoint": name}
        self._app.bus.publish(EJECTIONS, {**place, **ejection._asdict()}, keep=f"{upstream.name} {name}")

    def _on_ejection(self, message: dict[str, Any] | None) -> None:
        ejections = self._ejections.get(message["upstream"]) if message else None
        if message and ejections:
            ejections.take(message["endpoint"], Ejection(message["times"], message["until"]))
            self._look_later()

    def _look_later(self) -> None:
        """Look again when the next ejection ends, and not much later: meanwhile the others may be gone."""
        ends = [end for each in self._ejections.values() if (end := each.next_end) is not None]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ends:
            seconds = min(LOOK_SECONDS, max(0.0, min(ends) - self._clock()))
            self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """End what is to end, and keep no more on the bus than what still counts."""
        if not self._app.once("health"):
            return
        now = self._clock()
        for name, ejections in self._ejections.items():
            upstream = self._app.upstreams[name]
            for endpoint in ejections.due(now):
                self._bring_back(name, endpoint, "its ejection is over")
            self.spare_the_last(upstream)
            known = {endpoint.name for endpoint in upstream.endpoints}
            for endpoint in ejections.forget_rested(known, now):
                self._app.bus.publish(EJECTIONS, None, keep=f"{name} {endpoint}")
        self._look_later()

    def spare_the_last(self, upstream: Upstream) -> None:
        """Bring the ejected endpoints back if no other is left: a doubtful one is better than none."""
        if not upstream.available and self._app.once("health"):
            for name in self._out(upstream):
                self._bring_back(upstream.name, name, "no other endpoint is left")

    def _out(self, upstream: Upstream) -> frozenset[str]:
        ejections = self._ejections.get(upstream.name)
        return ejections.out if ejections else frozenset()

    def _bring_back(self, upstream: str, name: str, reason: str) -> None:
        if upstream in self._ejections:
            self._ejections[upstream].end(name)
        self._app.mark(upstream, name, SOURCE, EndpointState.UP, reason, owner="health")

    def __repr__(self) -> str:
        return f"<Ejector: {self._ejections}>"
