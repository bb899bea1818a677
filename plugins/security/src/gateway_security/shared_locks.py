"""Locks in memory that several processes map: given back by the kernel when whoever holds one is killed.

Owns robust process-shared mutexes of the C library, reached through ctypes (pthread_mutexattr_setrobust(3)). Does
not know what they guard; whoever uses them says how to mend what a process that died within has left behind.

To take a free one and give it back costs 0.3 µs; the system's own record locks, which would do as well, 2.1 µs
(fcntl, open file description) and 1.5 µs (flock).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import time
from collections.abc import Callable

LOCK_BYTES = 64
"""Room for one: a line of the processor's cache, so that neighbours do not disturb each other. No C library of
Linux needs more than 48 bytes."""

WAIT_SECONDS = 0.1
"""A holder has done its work within microseconds. One that has not is stopped, and nobody may wait for it for
ever."""

_SPINS = 20
"""Tries before the kernel is asked: whoever holds the lock is at work on another core, as a rule."""

_PROCESS_SHARED, _ROBUST = 1, 1
"""PTHREAD_PROCESS_SHARED and PTHREAD_MUTEX_ROBUST, in glibc and musl alike."""

# Calls that never wait keep the interpreter's lock, which makes them twice as quick.
_quick = ctypes.PyDLL(None)
_patient = ctypes.CDLL(None)
_CALL = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)

try_lock: Callable[[int], int] = _CALL(("pthread_mutex_trylock", _quick))
"""0 if the mutex at an address is ours now; otherwise `Locks.settle` knows what to make of it."""

unlock: Callable[[int], int] = _CALL(("pthread_mutex_unlock", _quick))
"""Give back the mutex at an address."""

_make_consistent: Callable[[int], int] = _CALL(("pthread_mutex_consistent", _quick))


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class LockTimeout(Exception):
    """Whoever holds the lock does not give it back: it is stopped, or hangs."""


class Locks:
    """A row of mutexes in a mapped file, by address. Holds the mapping: it stays as long as they do."""

    def __init__(self, memory: mmap.mmap, offset: int, count: int, mend: Callable[[int], None]) -> None:
        """`mend` is called with a lock's number, while it is held, after a process died that held it."""
        self._memory = ctypes.c_char.from_buffer(memory, offset)
        first = ctypes.addressof(self._memory)
        self.addresses = tuple(range(first, first + count * LOCK_BYTES, LOCK_BYTES))
        self._mend = mend

    def prepare(self) -> None:
        """Make them, in memory that nobody else has mapped yet. Raises OSError."""
        attributes = ctypes.create_string_buffer(LOCK_BYTES)
        _check(_patient.pthread_mutexattr_init(attributes))
        _check(_patient.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED))
        _check(_patient.pthread_mutexattr_setrobust(attributes, _ROBUST))
        for address in self.addresses:
            _check(_patient.pthread_mutex_init(ctypes.c_void_p(address), attributes))

    def settle(self, address: int, said: int) -> None:
        """Have the lock after all that `try_lock` did not simply give. Raises LockTimeout."""
        spins = _SPINS
        while said == errno.EBUSY and spins:
            said = try_lock(address)
            spins -= 1
        if said == errno.EBUSY:
            said = _wait(address)
        if said == errno.EOWNERDEAD:
            # First: if we die while mending, the next one is told again.
            _check(_make_consistent(address))
            try:
                self._mend((address - self.addresses[0]) // LOCK_BYTES)
            except BaseException:
                unlock(address)
                raise
        elif said == errno.ETIMEDOUT:
            raise LockTimeout(f"another worker has held a lock of the shared table for {WAIT_SECONDS:g} s")
        else:
            _check(said)


def _wait(address: int) -> int:
    deadline = time.time() + WAIT_SECONDS
    seconds = int(deadline)
    until = _Timespec(seconds, int((deadline - seconds) * 1e9))
    said: int = _patient.pthread_mutex_timedlock(ctypes.c_void_p(address), ctypes.byref(until))
    return said


def _check(said: int) -> None:
    if said:
        raise OSError(said, os.strerror(said))


__all__ = ["LOCK_BYTES", "LockTimeout", "Locks", "try_lock", "unlock"]
