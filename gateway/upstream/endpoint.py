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
    """Whether an endpoint gets traffic. Only UP ones get new sessions."""

    UP = "up"
    DOWN = "down"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"


class Endpoint:
    """One address, its weight and its state. Only state, weight and counts change."""

    __slots__ = ("_silent", "_spoke_at", "in_flight", "name", "pool", "state", "url", "weight")

    pool: ConnectionPool

    def __init__(self, settings: EndpointSettings) -> None:
        self.url: EndpointURL = split_endpoint(settings.url)
        self.name = str(self.url.address)
        self.weight = settings.weight
        self.state = EndpointState.UP
        self.in_flight = 0
        """Exchanges under way at this endpoint, as this worker sees it."""
        self._spoke_at = -QUIET_SECONDS
        self._silent = 0

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
    def is_available(self) -> bool:
        """Whether it may be picked for a new exchange."""
        return self.state is EndpointState.UP

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}: {self.state.value}, weight {self.weight}, {self.in_flight} in flight>"
