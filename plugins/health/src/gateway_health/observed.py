"""What one worker has seen of one endpoint's attempts, and when that is too much.

Pure: clocks are passed in. Does not eject: who may be ejected is decided for the whole gateway (`ejections`).
"""

from __future__ import annotations

from gateway_health.settings import Passive
from gateway_health.statuses import parse_statuses


class Observed:
    """Counts of one endpoint. `in_a_row` and `requests` are kept by who sees a success, without a call."""

    __slots__ = (
        "_failed", "_failures", "_min_requests", "_rate", "_window", "_window_ends", "bad_statuses", "counted",
        "endpoint", "in_a_row", "requests", "upstream",
    )  # fmt: skip

    def __init__(self, upstream: str, endpoint: str, settings: Passive) -> None:
        self.upstream = upstream
        self.endpoint = endpoint
        self.bad_statuses = parse_statuses(settings.status) if settings.is_on else frozenset()
        self.counted = settings.on if settings.is_on else ()
        self.in_a_row = 0
        """Failures since the last success."""
        self.requests = 0
        """Attempts in the window, of whatever outcome."""
        self._failed = 0
        self._failures = settings.failures
        self._rate = settings.error_rate
        self._min_requests = settings.min_requests
        self._window = settings.window
        self._window_ends = 0.0

    def fail(self, now: float) -> str:
        """Count a failure. Not empty if that is too much: it says of what, and counting begins anew."""
        if now >= self._window_ends:
            self._begin_window(now)
        self.in_a_row += 1
        self.requests += 1
        self._failed += 1
        why = ""
        if self._failures and self.in_a_row >= self._failures:
            why = f"failures in a row: {self.in_a_row}"
        elif self._rate and self.requests >= self._min_requests and self._failed >= self._rate * self.requests:
            why = f"{self._failed} of {self.requests} attempts failed"
        if why:
            self._begin_window(now)
            self.in_a_row = 0
        return why

    def _begin_window(self, now: float) -> None:
        self._window_ends = now + self._window
        self.requests = self._failed = 0

    def __repr__(self) -> str:
        return f"<Observed {self.endpoint}: {self._failed} of {self.requests} failed, {self.in_a_row} in a row>"
