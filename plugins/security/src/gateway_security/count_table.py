"""Counts of what each key has under way in all workers together, in the shared table.

Owns counting in and out as steps that nobody sees half of, and giving back what a worker that died had under way.
Does not know what is counted: requests, or connections.

Beside the count of each key stands a ledger: how much of it is whose. A worker has a place, and a ledger with it,
for as long as it holds a lock on its place's byte, which the kernel takes back from a process that ends. A place
with a ledger and without a lock belongs to one that is gone: what it had is taken off. Should it have died within a
step, the next to have that lock makes the counts anew, from the ledgers.

When a group is full, so many clients have something under way that a new one has to be refused.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from pathlib import Path

from gateway import ConfigurationError
from gateway_security.shared_file import Owner
from gateway_security.shared_table import KEY_BYTES, KEYS_AT, WAYS, Place, SharedTable, slots_for, try_lock, unlock

WORKERS = 256
"""Places: workers, those that drain, and those that a reload has replaced and that have a tunnel open."""
MOST = 65_535
"""The most that a key may have under way: what a number of a ledger holds."""
REFUSED, FULL = -1, -2

_PLACES_AT = 1024
_COUNT_BYTES = 4
_LEDGER_BYTES = 2
_COUNTED = re.compile(rb"[^\0]").finditer


class CountTable(SharedTable):
    """How much each key has under way."""

    def __init__(
        self, meaning: str, clients: int, *, folder: Path | None = None, owner: Owner | None = None
    ) -> None:
        """Room for so many keys that have something under way at once. Raises ConfigurationError."""
        self._ledger_bytes = slots_for(clients) * _LEDGER_BYTES
        ledgers = WORKERS * self._ledger_bytes
        super().__init__("connection-limit", meaning, clients, _COUNT_BYTES, ledgers, folder=folder, owner=owner)
        whole = memoryview(self.memory)
        self._counts = whole[self.kept_at : self.kept_at + self.slots * _COUNT_BYTES].cast("I")
        self._ledgers = [self._ledger(whole, worker) for worker in range(WORKERS)]
        self._is_closed = False
        self._worker = -1
        try:
            self._worker = self._settle_in()
        except BaseException:
            super().close()
            raise
        self._mine = self._ledgers[self._worker]

    def _ledger(self, whole: memoryview, worker: int) -> memoryview:
        start = self.further_at + worker * self._ledger_bytes
        return whole[start : start + self._ledger_bytes].cast("H")

    # -- counting ----------------------------------------------------------------------------------------------

    def enter(self, place: Place, most: int) -> int:
        """Count one more for a key: its slot, which `leave` wants; REFUSED if it has `most`, FULL if there is no
        room.

        Raises LockTimeout.
        """
        # hot: l7-balancer
        if self._is_closed:
            return FULL
        lock, at, counts = place.lock, place.at, self._counts
        said = try_lock(lock)
        if said:
            self.locks.settle(lock, said)
        try:
            if self.memory[at : at + KEY_BYTES] == place.digest:
                slot = (at - KEYS_AT) // KEY_BYTES
            else:
                slot = self._slot(place)
                if slot < 0:
                    return FULL
            count = counts[slot]
            if count >= most:
                return REFUSED
            self._mine[slot] += 1
            counts[slot] = count + 1
        finally:
            unlock(lock)
        return slot

    def leave(self, slot: int) -> None:
        """Count one less for the key that was given this slot. Raises LockTimeout."""
        # hot: l7-balancer
        lock = self.lock_of(slot)
        said = try_lock(lock)
        if said:
            self.locks.settle(lock, said)
        try:
            if self._mine[slot] and not self._is_closed:
                self._mine[slot] -= 1
                self._counts[slot] -= 1
        finally:
            unlock(lock)

    def count(self, place: Place) -> int:
        """How much a key has under way."""
        self.take_lock(place.lock)
        try:
            slot = self.find(place)
            return self._counts[slot] if slot >= 0 else 0
        finally:
            unlock(place.lock)

    def _slot(self, place: Place) -> int:
        slot = self.find(place)
        if slot >= 0:
            return slot
        first = self.first_slot(place)
        for slot in range(first, first + WAYS):
            if not self._counts[slot]:
                self.put(place, slot)
                return slot
        return -1

    # -- workers -----------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Give back what workers that are gone had under way."""
        if self._is_closed:
            return
        for worker in range(WORKERS):
            if self._is_used(worker) and worker != self._worker and self._lock_place(worker):
                self._give_back(worker)
                self._unlock_place(worker)

    def close(self) -> None:
        """Leave: what is under way here is no longer counted."""
        if not self._is_closed:
            self._is_closed = True
            self._give_back(self._worker)
            self._unlock_place(self._worker)
            super().close()

    def _settle_in(self) -> int:
        """Take a place, and give back what those had who are gone."""
        self.sweep()
        for worker in range(WORKERS):
            if self._lock_place(worker):
                try:
                    self.file.reserve(self.further_at + worker * self._ledger_bytes, self._ledger_bytes)
                except OSError as error:
                    raise ConfigurationError(f"{self.file.path}: {error.strerror}") from None
                if self._is_used(worker):  # left since the sweep, by one that was killed
                    self._give_back(worker)
                self.memory[_PLACES_AT + worker] = 1
                return worker
        raise ConfigurationError(f"connection-limit: more than {WORKERS} workers use one table")

    def _give_back(self, worker: int) -> None:
        """Take a worker's counts off, its place being ours."""
        start = self.further_at + worker * self._ledger_bytes
        counted = self.memory[start : start + self._ledger_bytes]
        for slot in {match.start() // _LEDGER_BYTES for match in _COUNTED(counted)}:
            lock = self.lock_of(slot)
            self.take_lock(lock)
            try:
                self._counts[slot] -= min(self._ledgers[worker][slot], self._counts[slot])
                self._ledgers[worker][slot] = 0
            finally:
                unlock(lock)
        self.memory[_PLACES_AT + worker] = 0

    def _is_used(self, worker: int) -> bool:
        return bool(self.memory[_PLACES_AT + worker])

    def _lock_place(self, worker: int) -> bool:
        """Have a place, unless somebody else is there. The lock is this open file's, whichever process it is in."""
        try:
            fcntl.fcntl(self.file.fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, worker))
        except OSError:
            return False
        return True

    def _unlock_place(self, worker: int) -> None:
        fcntl.fcntl(self.file.fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, worker))

    def _mend(self, lock: int) -> None:
        used = [ledger for worker, ledger in enumerate(self._ledgers) if self._is_used(worker)]
        for slot in self.slots_under(lock):
            self._counts[slot] = sum(ledger[slot] for ledger in used)

    def __repr__(self) -> str:
        return f"<CountTable: {self.slots} slots, place {self._worker}>"


def _flock(kind: int, worker: int) -> bytes:
    """A `struct flock` for one byte."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, _PLACES_AT + worker, 1, 0)


__all__ = ["FULL", "MOST", "REFUSED", "WORKERS", "CountTable"]
