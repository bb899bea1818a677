"""Tell the log of clients that are turned away: of the first, and of the others how many they were.

Owns the counting: a flood of clients must not flood the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

log = logging.getLogger("gateway.listeners")

QUIET_SECONDS = 10.0
"""So long after a line the others are counted only."""
MAX_REASONS = 16
"""So many are told apart; the rest is counted together."""
OTHERS = "for other reasons"


class Telling:
    """What one listener tells of one kind of event."""

    def __init__(self, label: str, what: str, quiet_seconds: float = QUIET_SECONDS) -> None:
        """`what` stands before the client, and before the number of others: `denied`."""
        self._label = label
        self._what = what
        self._quiet_seconds = quiet_seconds
        self.is_quiet = False
        """Whether the others are counted only."""
        self._others: Counter[str] = Counter()

    def tell(self, who: str, reason: str) -> None:
        """It happened to this client. At the level `debug` the log has each of them."""
        level = logging.DEBUG if self.is_quiet else logging.INFO
        log.log(level, "listener %s: %s %s: %s", self._label, self._what, who, reason)
        if self.is_quiet:
            is_one_more = reason not in self._others and len(self._others) >= MAX_REASONS
            self._others[OTHERS if is_one_more else reason] += 1
        else:
            self.is_quiet = True
            asyncio.get_running_loop().call_later(self._quiet_seconds, self._count)

    def _count(self) -> None:
        self.is_quiet = False
        told, self._others = self._others, Counter()
        for reason, count in told.items():
            seconds = self._quiet_seconds
            log.info("listener %s: %s %d more within %g s: %s", self._label, self._what, count, seconds, reason)
