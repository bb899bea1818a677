"""A bounded table that forgets what was not used for the longest time.

Owns nothing but the order: how long an entry is good for is said by what stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestTable(Generic[T]):
    """The latest entries, at most `size`."""

    # A dict keeps the order of insertion: an entry that is used is put at its end again.

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[str, T] = {}

    def get(self, key: str) -> T | None:
        """The entry, which counts as used; None if there is none."""
        # hot: l7-balancer
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry
        return entry

    def put(self, key: str, entry: T) -> None:
        """Add or replace an entry; the one that was not used for the longest time goes if there are too many."""
        entries = self._entries
        entries.pop(key, None)
        entries[key] = entry
        if len(entries) > self._size:
            del entries[next(iter(entries))]

    def drop(self, key: str) -> None:
        """Take an entry away, if it is there."""
        self._entries.pop(key, None)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """All entries as they are now, the longest unused first."""
        return iter(tuple(self._entries.items()))

    def __len__(self) -> int:
        return len(self._entries)


__all__ = ["LatestTable"]
