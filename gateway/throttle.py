"""Not more lines of the log than help: so many in a period, and then how many there were beside them.

Owns the counting. What the lines say is known by whoever writes them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

MAX_KINDS = 16
"""So many are told apart; the rest is counted together."""
OTHERS = "for other reasons"


class Throttle:
    """Lets the first lines of a period through, and counts the others by their kind."""

    def __init__(self, most: int, seconds: float, tell: Callable[[str, int], None]) -> None:
        """`tell` is called at the end of a period, with each kind and how many of it were not let through."""
        self._most = most
        self._seconds = seconds
        self._tell = tell
        self._admitted = 0
        self._others: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_counting(self) -> bool:
        """Whether a period has begun and not ended."""
        return self._timer is not None

    def admits(self, kind: str) -> bool:
        """Whether one more line may be written; if not, it is counted."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self.close)
        if self._admitted < self._most:
            self._admitted += 1
            return True
        is_one_more = kind not in self._others and len(self._others) >= MAX_KINDS
        self._others[OTHERS if is_one_more else kind] += 1
        return False

    def close(self) -> None:
        """End the period now, and tell what was counted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._admitted = 0
        told, self._others = self._others, Counter()
        for kind, count in told.items():
            self._tell(kind, count)
