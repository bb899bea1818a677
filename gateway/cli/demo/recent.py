"""Counts that only grow, as they were over the last seconds: shares and rates."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

RECENT_SECONDS = 3.0


class _Moment(NamedTuple):
    at: float
    counts: Counter[str]


class Recent:
    """What came of late, by name."""

    def __init__(self) -> None:
        self._moments: deque[_Moment] = deque()

    def add(self, counts: Counter[str]) -> None:
        """What there is by now. To be called a few times a second."""
        now = time.monotonic()
        self._moments.append(_Moment(now, counts.copy()))
        while len(self._moments) > 2 and self._moments[1].at < now - RECENT_SECONDS:
            self._moments.popleft()

    def shares(self, names: Iterable[str]) -> list[float]:
        """Of each name, of what came to all of them."""
        came = self._came()
        counts = [came[name] for name in names]
        return [count / max(1, sum(counts)) for count in counts]

    def rate(self) -> float:
        """Of all together, a second."""
        seconds = self._moments[-1].at - self._moments[0].at if self._moments else 0.0
        return self._came().total() / seconds if seconds else 0.0

    def _came(self) -> Counter[str]:
        return self._moments[-1].counts - self._moments[0].counts if self._moments else Counter()
