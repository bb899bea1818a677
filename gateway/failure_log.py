"""What the log says of exchanges that failed: each by itself, and in an outage how many they are.

Owns the lines and their levels. What a client is told is `gateway.error_pages`'.
"""

from __future__ import annotations

import logging
from functools import partial

from gateway.errors import GatewayError, PluginError
from gateway.model import Exchange
from gateway.throttle import Throttle

log = logging.getLogger("gateway")

MOST, PERIOD_SECONDS = 20, 10.0
"""Lines on failed exchanges of an upstream; the others are counted."""


class FailureLog:
    """The lines of one App."""

    def __init__(self) -> None:
        self._throttles: dict[str, Throttle] = {}
        """By upstream."""

    def tell(self, exchange: Exchange, error: GatewayError) -> None:
        """An exchange failed. What is a client's own fault is told at the level `debug`, as are those left out."""
        kind = type(error).__name__
        said = f"asked upstream {error.asked!r}: {error}" if error.asked else str(error)
        if isinstance(error, PluginError):
            log.error("request %s: %s", exchange.id, error, exc_info=error.__cause__)
        elif error.side != "client" and self._throttle(exchange.upstream.name).admits(kind):
            log.warning("request %s: %s: %s", exchange.id, kind, said)
        else:
            log.debug("request %s: %s: %s", exchange.id, kind, said)

    def close(self) -> None:
        """Tell what has been counted."""
        for throttle in self._throttles.values():
            throttle.close()

    def _throttle(self, upstream: str) -> Throttle:
        if upstream not in self._throttles:
            self._throttles[upstream] = Throttle(MOST, PERIOD_SECONDS, partial(_tell_count, upstream))
        return self._throttles[upstream]


def _tell_count(upstream: str, kind: str, count: int) -> None:
    log.warning("upstream %s: %d more exchanges failed within %g s: %s", upstream, count, PERIOD_SECONDS, kind)
