"""What was purged while Redis may still hold it, or may just be saying what it held.

Pure memory. Nothing here goes by a clock, for those of several machines do not agree: purges have numbers in Redis,
and a response that it holds has the number of the last one before it.
"""

from __future__ import annotations

from collections import deque

from gateway import new_id
from gateway_cache.entry import Entry
from gateway_cache.purging import Purge

MAX_SWEPT = 256
"""Purges by prefix or tag that are remembered; by then the first of them has long been swept."""
MAX_RECENT = 1000
MAX_WAITING = 10_000
"""More purges that have not reached Redis become one of everything."""
MAX_COMPARED = 100
"""With more purges waiting nothing is served from Redis, rather than compared with them all."""


class Purged:
    """The purges that a worker has heard of."""

    def __init__(self) -> None:
        self.waiting: deque[Purge] = deque()
        """They have not reached Redis yet."""
        self._swept: deque[tuple[int, Purge]] = deque(maxlen=MAX_SWEPT)
        self._recent: deque[tuple[int, Purge]] = deque(maxlen=MAX_RECENT)
        self._told: dict[str, None] = {}
        self.count = 0
        """How often something was purged, here or elsewhere: what was asked at a lower count may be outdated."""

    def drop(self, purge: Purge) -> None:
        """Purged by this gateway: from now on nothing is taken of what Redis holds of that."""
        self._tell(purge)
        if len(self.waiting) >= MAX_WAITING:
            self.waiting.clear()
            purge = Purge({"all": True, "id": new_id()})
            self._tell(purge)
        self.waiting.append(purge)
        self.note(purge)

    def _tell(self, purge: Purge) -> None:
        self._told[purge.id] = None
        if len(self._told) > MAX_RECENT:
            del self._told[next(iter(self._told))]

    def is_ours(self, purge: Purge) -> bool:
        """Whether this worker has dropped what it takes already."""
        return purge.id in self._told

    def note(self, purge: Purge) -> None:
        """Answers of Redis that are on their way may be from before it."""
        self.count += 1
        self._recent.append((self.count, purge))

    def arrive(self, purge: Purge) -> None:
        """Redis has done the first of those that waited."""
        if self.waiting and self.waiting[0] is purge:
            self.waiting.popleft()
        self.note(purge)

    def remember(self, number: int, purge: Purge) -> None:
        """Redis has it, under this number. What it names by URL is gone; the rest may take a while."""
        if purge.is_exact or any(number == known for known, _ in self._swept):
            return
        if purge.is_all:
            later = [(known, other) for known, other in self._swept if known > number]
            self._swept = deque(later, maxlen=MAX_SWEPT)
        self._swept.append((number, purge))

    def takes(self, url: bytes, entry: Entry, seen: int, asked: int) -> bool:
        """Whether a response is purged that Redis holds since the purge `seen`, asked for at the count `asked`."""
        if len(self.waiting) > MAX_COMPARED or self.count - asked > MAX_RECENT:
            return True
        if any(purge.takes(url, entry) for purge in self.waiting):
            return True
        if any(number > seen and purge.takes(url, entry) for number, purge in self._swept):
            return True
        for count, purge in reversed(self._recent):
            if count <= asked:
                break
            if purge.takes(url, entry):
                return True
        return False


__all__ = ["Purged"]
