"""Tell the log of clients that are turned away: of the first, and of the others how many they were.

Owns the words: a flood of clients must not flood the log.
"""

from __future__ import annotations

import logging

from gateway.throttle import Throttle

log = logging.getLogger("gateway.listeners")

QUIET_SECONDS = 10.0
"""So long after a line the others are counted only."""


class Telling:
    """What one listener tells of one kind of event."""

    def __init__(self, label: str, what: str, quiet_seconds: float = QUIET_SECONDS) -> None:
        """`what` stands before the client, and before the number of others: `denied`."""
        self._label = label
        self._what = what
        self._quiet_seconds = quiet_seconds
        self._throttle = Throttle(1, quiet_seconds, self._count)

    def tell(self, who: str, reason: str) -> None:
        """It happened to this client. At the level `debug` the log has each of them."""
        level = logging.INFO if self._throttle.admits(reason) else logging.DEBUG
        log.log(level, "listener %s: %s %s: %s", self._label, self._what, who, reason)

    @property
    def is_quiet(self) -> bool:
        """Whether the others are counted only."""
        return self._throttle.is_counting

    def _count(self, reason: str, count: int) -> None:
        seconds = self._quiet_seconds
        log.info("listener %s: %s %d more within %g s: %s", self._label, self._what, count, seconds, reason)
