"""One address of an upstream, its weight and its state.

Owns what is known of an endpoint in this worker. Does not decide its state and does not talk to it.
"""

from __future__ import annotations

import logging
import time
from enum import Enum
from typing import TYPE_CHECKING

from gateway.config.model import EndpointSettings, EndpointURL, split_endpoint

if TYPE_CHECKING:
    from gateway.upstream.pool import ConnectionPool


log = logging.getLogger("gateway.upstream")

QUIET_SECONDS = 10.0
"""Between two lines about failed attempts at one endpoint."""


class EndpointState(Enum):
    """Whether an endpoint gets traffic, from the best to the worst. Only UP ones get new sessions."""

    UP = "up"
    DRAINING = "draining"
    """It finishes what it has and keeps its sessions, and gets nothing new."""
    DOWN = "down"
    MAINTENANCE = "maintenance"


_BAD_TO_WORSE = tuple(EndpointState)


class Endpoint:
    """One address, its weight and its state. Only state, weight and counts change."""

    __slots__ = (
        "_silent", "_spoke_at", "answers", "base_weight", "in_flight", "marks", "name", "pool", "priority", "state",
        "url", "weight", "zone",
    )  # fmt: skip

    pool: ConnectionPool

    def __init__(self, settings: EndpointSettings) -> None:
        self.url: EndpointURL = split_endpoint(settings.url)
        self.name = str(self.url.address)
        self.base_weight = settings.weight
        """As configured, or as an operator has set it."""
        self.weight = settings.weight
        """What balancers go by: in proportion to `base_weight`, and less during a slow start."""
        self.priority = settings.priority
        self.zone = settings.zone
        self.marks: dict[str, tuple[EndpointState, str]] = {}
        """Who holds it for anything but UP, and the reason; the worst of them is its state."""
        self.state = EndpointState.UP
        self.in_flight = 0
        """Exchanges under way at this endpoint, as this worker sees it."""
        self.answers = [0] * 6
        """Attempts that have ended, by the class of their status; the first of them are those without an answer."""
        self._spoke_at = -QUIET_SECONDS
        self._silent = 0

    def mark(self, source: str, state: EndpointState, reason: str) -> None:
        """Take down what one source holds it for. The upstream's `mark` does this and tells everybody."""
        if state is EndpointState.UP:
            self.marks.pop(source, None)
        else:
            self.marks[source] = (state, reason)
        held = [held for held, _ in self.marks.values()]
        self.state = max(held, key=_BAD_TO_WORSE.index, default=EndpointState.UP)

    def describe(self) -> dict[str, object]:
        """What is known of it, as plain data."""
        return {
            "endpoint": self.name,
            "state": self.state.value,
            "marks": {source: {"state": state.value, "reason": why} for source, (state, why) in self.marks.items()},
            "weight": self.base_weight,
            "effective_weight": self.weight,
            "priority": self.priority,
            "zone": self.zone,
            "in_flight": self.in_flight,
            "connections": len(self.pool.busy) + len(self.pool.idle),
            "answers": self.answers,
        }

    def complain(self, error: Exception) -> None:
        """Log a failed attempt: retries may hide it from every client, but not from the operator."""
        now = time.monotonic()
        if now - self._spoke_at < QUIET_SECONDS:
            self._silent += 1
            return
        more = f" ({self._silent} more failed since the last line)" if self._silent else ""
        log.warning("attempt failed: %s%s", error, more)
        self._spoke_at, self._silent = now, 0

    @property
    def host(self) -> str:
        """Host name or address; empty for a Unix socket."""
        return self.url.address.host

    @property
    def port(self) -> int:
        """Port; 0 for a Unix socket."""
        return self.url.address.port

    @property
    def keeps_sessions(self) -> bool:
        """Whether it may be picked for an exchange of a session that it has."""
        return self.state is EndpointState.UP or self.state is EndpointState.DRAINING

    @property
    def is_available(self) -> bool:
        """Whether it may be picked for a new exchange."""
        return self.state is EndpointState.UP

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}: {self.state.value}, weight {self.weight}, {self.in_flight} in flight>"
