"""The fields RateLimit-Policy and RateLimit, as draft-ietf-httpapi-ratelimit-headers-11 (May 2026) has them.

Owns how a limit is told to a client. The draft is not done: 08 to 11 differ only in how they explain `t`, which is
here the number of seconds until one more request may come.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway_security.gcra import SECOND, Limit


class RateFields:
    """How several limits are told."""

    def __init__(self, limits: Sequence[tuple[str, Limit]]) -> None:
        self.policy = ", ".join(_policy(name, limit) for name, limit in limits).encode("ascii", "replace")
        self._limits = [(f'"{name}"', limit) for name, limit in limits]

    def now(self, overs: Sequence[int]) -> bytes:
        """What is left, by what was said of a request (`Limit.over`)."""
        return ", ".join(
            f"{name};r={limit.remaining(over)};t={whole_seconds(limit.next_in(over))}"
            for (name, limit), over in zip(self._limits, overs, strict=True)
        ).encode("ascii", "replace")


def _policy(name: str, limit: Limit) -> str:
    """The window in which a burst is paid off; whole seconds, so a shorter one tells what a second lets through."""
    window = whole_seconds(limit.burst * limit.interval)
    quota = max(limit.burst, window * SECOND // limit.interval)
    return f'"{name}";q={quota};w={window}'


def whole_seconds(nanoseconds: int) -> int:
    """Rounded up, at least one: to come a little later is never wrong."""
    return max(-(-nanoseconds // SECOND), 1)


__all__ = ["RateFields", "whole_seconds"]
