"""Lines of the log about refusals: who, what and why, and not more of them than help.

Owns the wording's frame and the limit. Who is refused is decided elsewhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway import Exchange

log = logging.getLogger("gateway.security")

MOST = 20
PERIOD_SECONDS = 10.0
_LONGEST = 200


class RefusalLog:
    """One plugin's lines: at most 20 in ten seconds, and then one that counts those left out."""

    def __init__(self, plugin: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._plugin = plugin
        self._clock = clock
        self._until = 0.0
        self._told = self._untold = 0

    def tell(self, exchange: Exchange, did: str, why: str) -> None:
        """Say that an exchange was refused, or would have been: `did` is the verb."""
        now = self._clock()
        if now >= self._until:
            self.close()
            self._until = now + PERIOD_SECONDS
            self._told = 0
        if self._told == MOST:
            self._untold += 1
            return
        self._told += 1
        request = exchange.request
        what = request.raw_path[:_LONGEST].decode("latin-1")
        log.warning(
            "%s: %s %s: %s (%s %r, request %s)",
            self._plugin, did, request.client or "a client without address", why, request.method, what, exchange.id,
        )  # fmt: skip

    def close(self) -> None:
        """Say how many were left out."""
        if self._untold:
            log.warning("%s: %d more within %g s, not shown", self._plugin, self._untold, PERIOD_SECONDS)
            self._untold = 0
