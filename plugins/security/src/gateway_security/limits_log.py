"""The log of what `limits` refuses: a few lines a minute, and a count of the rest.

Owns how often a line is written. Does not decide what is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway import Exchange

log = logging.getLogger("gateway.security")

LINES, SECONDS = 20, 60.0
"""So many lines in so long: enough to see who and why, and no flood of requests floods the disk."""


class RefusalLog:
    """Tells of refusals, as long as there are few."""

    def __init__(self, plugin: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._plugin = plugin
        self._clock = clock
        self._since = clock()
        self._count = 0

    def tell(self, exchange: Exchange, why: str) -> None:
        """One refusal. What the client chose is quoted, lest it begins a line of its own."""
        now = self._clock()
        if now - self._since >= SECONDS:
            if self._count > LINES:
                log.info("%s: %d more refusals in the last minute were not told", self._plugin, self._count - LINES)
            self._since, self._count = now, 0
        self._count += 1
        if self._count > LINES:
            return
        request = exchange.request
        log.info(
            "request %s: %s refused %s %s of %s: %s",
            exchange.id, self._plugin, request.method, ascii(request.path[:100]), request.client or "a socket", why,
        )  # fmt: skip
