"""The arithmetic of a rate limit: the generic cell rate algorithm (ITU-T I.371), in whole nanoseconds.

Owns what a limit is and how a request is judged by it. Does not keep anything, and does not know whose request it
is.

Of each key one number is kept: when all that was let through would be paid off at the limit's rate (`paid_at`). A
request may come as long as that is no further away than the burst allows. It then moves by one interval. A fixed
window lets twice its number through around its edge and a list of times costs memory; this does neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SECOND = 1_000_000_000
MOST_PER_SECOND = 1_000_000

_RATE = re.compile(r"(\d{1,12})\s*/\s*(s|m|h|d)", re.ASCII).fullmatch
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_rate(text: str) -> tuple[int, int]:
    """`"100/s"` → (100, 1), `"1000/h"` → (1000, 3600). Raises ValueError."""
    match = _RATE(text.strip())
    if match is None:
        raise ValueError(f'expected a rate such as "100/s", "30/m" or "1000/h", not {text!r}')
    count, seconds = int(match[1]), _UNITS[match[2]]
    if not 0 < count <= MOST_PER_SECOND * seconds:
        raise ValueError(f"expected a rate of at least 1 and at most {MOST_PER_SECOND}/s, not {text!r}")
    return count, seconds


@dataclass(frozen=True, slots=True)
class Limit:
    """How much is let through."""

    interval: int
    """From one request to the next at the limit's rate; rounded up, so that no more come than were allowed."""
    tolerance: int
    """So much earlier than that a request may come: what a burst is made of."""
    patience: int = 0
    """So long a request that comes earlier still may be held back."""

    @classmethod
    def of(cls, rate: str, burst: int | None = None, delay_seconds: float = 0.0) -> Limit:
        """A limit as it is written. Without a burst, as many as the rate names may come at once."""
        count, seconds = parse_rate(rate)
        interval = -(-seconds * SECOND // count)
        return cls(interval, ((burst or count) - 1) * interval, int(delay_seconds * SECOND))

    @property
    def burst(self) -> int:
        """Requests that may come at once."""
        return self.tolerance // self.interval + 1

    def over(self, paid_at: int, now: int) -> int:
        """How much too early a request comes. Up to 0 it may pass, up to `patience` it may after waiting so
        long."""
        return max(paid_at - now, 0) - self.tolerance

    def charged(self, paid_at: int, now: int) -> int:
        """`paid_at` after a request was let through."""
        return max(paid_at, now) + self.interval

    def remaining(self, over: int) -> int:
        """How many further requests may come at once, after one of which `over` was said."""
        return max(-over // self.interval, 0)

    def next_in(self, over: int) -> int:
        """After how many nanoseconds a further request may come, or one more than may come now."""
        if over > self.patience:
            return over - self.patience
        return self.interval - -over % self.interval


__all__ = ["SECOND", "Limit", "parse_rate"]
