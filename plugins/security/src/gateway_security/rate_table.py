"""Rate limits that hold for all workers together: of each key when it is paid off, in the shared table.

Owns the decision as one step that nobody sees half of. Times are those of CLOCK_MONOTONIC, which is one for all
processes of a machine.

When a group is full, the key that is paid off first makes room: one whose time is over, which is none at all, or
else the one that loses least. So a flood of new keys cannot wash away those that are deep in debt.

A decision costs 0.7 µs, of which the lock is 0.3.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from gateway_security.gcra import Limit
from gateway_security.shared_file import Owner
from gateway_security.shared_table import (
    FULL_EVERY_SECONDS,
    KEY_BYTES,
    KEYS_AT,
    WAYS,
    Place,
    SharedTable,
    try_lock,
    unlock,
)

log = logging.getLogger("gateway.security")

_TIME_BYTES = 8


class RateTable(SharedTable):
    """When each key is paid off."""

    def __init__(
        self, meaning: str, clients: int, *, folder: Path | None = None, owner: Owner | None = None
    ) -> None:
        """Room for so many keys; `meaning` stands for the limits, so that others begin anew."""
        super().__init__("rate-limit", meaning, clients, _TIME_BYTES, folder=folder, owner=owner)
        self._paid_at = memoryview(self.memory)[self.kept_at : self.kept_at + self.slots * _TIME_BYTES].cast("q")
        self.evicted = 0
        """Keys of this worker's doing that went before their time."""
        self._is_untold = False
        """Whether some went of which the log does not know."""
        self._told = 0.0

    def take(self, place: Place, limit: Limit, now: int) -> int:
        """Judge a request by a limit, and charge it if it may pass at once or after waiting; see `Limit.over`.

        Raises LockTimeout.
        """
        # hot: l7-balancer
        lock, at, paid_at = place.lock, place.at, self._paid_at
        said = try_lock(lock)
        if said:
            self.locks.settle(lock, said)
        try:
            if self.memory[at : at + KEY_BYTES] == place.digest:
                slot = (at - KEYS_AT) // KEY_BYTES
            else:
                slot = self._slot(place, now)
            debt = paid_at[slot] - now
            if debt < 0:
                debt = 0
            over = debt - limit.tolerance
            if over <= limit.patience:
                paid_at[slot] = now + debt + limit.interval
        finally:
            unlock(lock)
        if self._is_untold:
            self._tell()
        return over

    def take_all(self, places: Sequence[Place], limits: Sequence[Limit], now: int) -> list[int]:
        """Judge a request by several limits, and charge it to all if it may pass by all, else to none."""
        taken: list[int] = []
        try:
            for lock in sorted({place.lock for place in places}):  # in one order everywhere: no deadlock
                self.take_lock(lock)
                taken.append(lock)
            slots: list[int] = []
            for place in places:
                slots.append(self._slot(place, now, slots))
            overs = [limit.over(self._paid_at[slot], now) for slot, limit in zip(slots, limits, strict=True)]
            if all(over <= limit.patience for over, limit in zip(overs, limits, strict=True)):
                for slot, limit in zip(slots, limits, strict=True):
                    self._paid_at[slot] = limit.charged(self._paid_at[slot], now)
        finally:
            for lock in taken:
                unlock(lock)
        if self._is_untold:
            self._tell()
        return overs

    def _slot(self, place: Place, now: int, spared: Collection[int] = ()) -> int:
        """The key's slot, which is made if there is none; never one of those spared."""
        slot = self.find(place)
        if slot >= 0:
            return slot
        first = self.first_slot(place)
        slot = min(
            (slot for slot in range(first, first + WAYS) if slot not in spared), key=self._paid_at.__getitem__
        )
        if self._paid_at[slot] > now:
            self.evicted += 1
            self._is_untold = True
        self._paid_at[slot] = 0  # first: whoever dies between the two leaves a key that owes nothing
        self.put(place, slot)
        return slot

    def _tell(self) -> None:
        """Once in a while, and when no lock is held: the log may have to wait for its reader."""
        self._is_untold = False
        now = time.monotonic()
        if now >= self._told:
            self._told = now + FULL_EVERY_SECONDS
            log.warning(
                "rate-limit: more clients than there is room for: some are forgotten early; raise `clients`"
            )

    def __repr__(self) -> str:
        return f"<RateTable: {self.slots} slots>"


__all__ = ["RateTable"]
