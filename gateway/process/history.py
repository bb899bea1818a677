"""What has happened to a running gateway that its operator wants to know: since when the configuration
is in force, what change failed, which workers died.

Owns counts, times, and the pause before a worker is started anew. Starts nothing itself.
"""

from __future__ import annotations

import signal
import time
from typing import Any

STEADY_SECONDS = 10.0
"""A worker that lived so long was well; one that dies earlier is started anew after a pause."""
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 10.0


class History:
    """What to tell of changes and of deaths."""

    def __init__(self) -> None:
        self._in_force = time.time()
        self._refusal: dict[str, Any] = {}
        self._early: dict[int, int] = {}
        """Deaths of a worker, one after the other, that came early."""
        self._deaths = 0
        self._first_death = self._last_death = 0.0
        self._last_words = ""

    def died(self, index: int, age: float, how: str) -> float:
        """Take down the death of a worker; for how many seconds to wait before it is started anew."""
        self._last_death = time.time()
        if not self._deaths:
            self._first_death = self._last_death
        self._deaths += 1
        self._last_words = f"worker {index}: {how}"
        self._early[index] = early = 0 if age > STEADY_SECONDS else self._early.get(index, 0) + 1
        return min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(early - 1, 16)) if early else 0.0

    def changed(self) -> None:
        """Another configuration is in force: what made workers die may be mended."""
        self._early.clear()
        self._in_force = time.time()
        self._refusal = {}

    def refused(self, what: str, reason: str) -> None:
        """A change failed, and for all that is known the old configuration is in force."""
        self._refusal = {"what": what, "at": time.time(), "reason": reason}

    def as_data(self) -> dict[str, Any]:
        """For `gateway status`; times are seconds since 1970."""
        told: dict[str, Any] = {"in_force": self._in_force}
        if self._refusal:
            told["refused"] = self._refusal
        if not self._deaths:
            return told
        deaths = {
            "count": self._deaths,
            "first": self._first_death,
            "last": self._last_death,
            "how": self._last_words,
        }
        return {**told, "deaths": deaths}


def longer(pause: float) -> float:
    """The pause after one more try that failed."""
    return min(MAX_PAUSE_SECONDS, pause * 2 or FIRST_PAUSE_SECONDS)


def describe_exit(status: int) -> str:
    """`exit status 1`, or the name of the signal."""
    if status >= 0:
        return f"exit status {status}"
    known = {number.value: number.name for number in signal.Signals}
    return f"killed by {known.get(-status, f'signal {-status}')}"
