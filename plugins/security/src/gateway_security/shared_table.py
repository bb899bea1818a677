"""A table of keys that all workers of a gateway share: where a key stands, and how its place is found.

Owns the layout, the keyed hash, the search and the locks. What is kept of a key, and which key goes when there is
no room, is said by the tables made of this one (`rate_table`, `count_table`).

A key stands for itself as 16 bytes of a keyed hash, so that no client can choose where it comes to lie. They say
which group of 16 slots it belongs to; a group is searched as a whole, under one of 64 locks. The table never grows.

    0      the hash's secret, 32 bytes
    1024   a byte for each worker's place (count_table)
    4096   64 locks
    8192   16 bytes for each slot: the key
    …      what is kept of each slot
"""

from __future__ import annotations

import mmap
import os
from hashlib import blake2b
from pathlib import Path

from gateway_security.shared_file import Owner, SharedFile
from gateway_security.shared_locks import LOCK_BYTES, Locks, try_lock, unlock

WAYS = 16
"""Slots of a group."""
KEY_BYTES = 16
LOCKS = 64
LOCKS_AT = 4096
KEYS_AT = LOCKS_AT + LOCKS * LOCK_BYTES
SECRET_BYTES = 32
FULL_EVERY_SECONDS = 10.0
"""How often the log tells of a table that is full."""

_GROUP_BYTES = WAYS * KEY_BYTES


def slots_for(clients: int) -> int:
    """Slots of a table for so many keys: a power of two, at least twice as many, so that hardly a group is full."""
    return WAYS << max(0, -(-2 * clients // WAYS) - 1).bit_length()


class Place:
    """Where a key stands, to be kept for the next time: the search begins where it ended."""

    __slots__ = ("at", "digest", "lock", "start")

    def __init__(self, digest: bytes, start: int, lock: int) -> None:
        self.digest = digest
        self.start = start
        """Of its group's keys, in the file."""
        self.lock = lock
        """The address of its group's lock."""
        self.at = start
        """Where its key was last."""


class SharedTable:
    """Places for keys; see the head of this file."""

    def __init__(
        self,
        purpose: str,
        meaning: str,
        clients: int,
        kept_bytes: int,
        further_bytes: int = 0,
        *,
        folder: Path | None = None,
        owner: Owner | None = None,
    ) -> None:
        """Room for `clients` keys (`slots_for`).

        `kept_bytes` are kept of each slot, from `self.kept_at` on; `further_bytes`, of the whole, are not reserved.
        Raises ConfigurationError.
        """
        self.slots = slots_for(clients)
        self._groups = self.slots // WAYS
        self.kept_at = KEYS_AT + self.slots * KEY_BYTES
        self.further_at = -(-(self.kept_at + self.slots * kept_bytes) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.file = SharedFile(
            purpose, meaning, self.further_at + further_bytes, self._prepare, folder=folder, owner=owner
        )
        self.memory = self.file.memory
        self.locks = Locks(self.memory, LOCKS_AT, LOCKS, self._mend)
        self._secret = self.memory[:SECRET_BYTES]

    def _prepare(self, fd: int, memory: mmap.mmap) -> None:
        os.posix_fallocate(fd, 0, self.further_at)
        memory[:SECRET_BYTES] = os.urandom(SECRET_BYTES)
        Locks(memory, LOCKS_AT, LOCKS, self._mend).prepare()

    def place(self, key: bytes) -> Place:
        """Where a key is to be looked for. Costs a hash: worth keeping where keys are few and short."""
        digest = blake2b(key, digest_size=KEY_BYTES, key=self._secret).digest()
        group = int.from_bytes(digest[:4], "little") & (self._groups - 1)
        return Place(digest, KEYS_AT + group * _GROUP_BYTES, self.locks.addresses[group % LOCKS])

    def find(self, place: Place) -> int:
        """The number of the key's slot, or -1. To be called with the lock held."""
        if self.memory[place.at : place.at + KEY_BYTES] == place.digest:
            return (place.at - KEYS_AT) // KEY_BYTES
        keys = self.memory[place.start : place.start + _GROUP_BYTES]
        offset = keys.find(place.digest)
        while offset % KEY_BYTES and offset >= 0:  # across two others, by chance
            offset = keys.find(place.digest, offset + 1)
        if offset < 0:
            return -1
        place.at = place.start + offset
        return (place.at - KEYS_AT) // KEY_BYTES

    def put(self, place: Place, slot: int) -> None:
        """Write the key into a slot of its group. To be called with the lock held."""
        place.at = KEYS_AT + slot * KEY_BYTES
        self.memory[place.at : place.at + KEY_BYTES] = place.digest

    def first_slot(self, place: Place) -> int:
        """The number of its group's first slot."""
        return (place.start - KEYS_AT) // KEY_BYTES

    def lock_of(self, slot: int) -> int:
        """The address of the lock of a slot."""
        return self.locks.addresses[slot // WAYS % LOCKS]

    def slots_under(self, lock: int) -> list[int]:
        """All slots under the lock of this number."""
        return [
            slot for group in range(lock, self._groups, LOCKS) for slot in range(group * WAYS, group * WAYS + WAYS)
        ]

    def take_lock(self, address: int) -> None:
        """Have a lock; `unlock` gives it back. Raises LockTimeout."""
        said = try_lock(address)
        if said:
            self.locks.settle(address, said)

    def close(self) -> None:
        """Leave the file. What is in memory may still be used, to no effect on others that come later."""
        self.file.close()

    def _mend(self, lock: int) -> None:
        """Make good what a process that died while it held a lock may have left."""


__all__ = [
    "FULL_EVERY_SECONDS",
    "KEYS_AT",
    "KEY_BYTES",
    "WAYS",
    "Place",
    "SharedTable",
    "slots_for",
    "try_lock",
    "unlock",
]
