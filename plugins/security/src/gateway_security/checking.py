"""Check credentials off the event loop: few at once, the same ones once, and the outcome remembered for a while.

Owns the bounds, the cache and what a name that nobody has costs. Does not know HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cachetools import LRUCache

from gateway_security.htpasswd import Users
from gateway_security.passwords import PasswordHash

WRONG_SECONDS = 10.0
"""So long a wrong pair is known to be wrong: a client that repeats it costs nothing."""
MAX_WRONG = 1024


class Busy(Exception):
    """As many checks are waiting as may be, of this client or in all."""


class Checker:
    """Who is behind a pair of name and password.

    What is remembered is found under a keyed hash of the pair, never under the pair itself. Right and wrong pairs
    have caches of their own, so that a flood of guesses does not turn the right ones out.
    """

    def __init__(
        self,
        users: Users,
        *,
        threads: int,
        max_waiting: int,
        seconds: float,
        max_known: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads, self._max_waiting, self._seconds = threads, max_waiting, seconds
        self._clock = clock
        self._hash = hashlib.blake2b(key=os.urandom(32), digest_size=16)
        self._right: LRUCache[bytes, tuple[float, bytes]] = LRUCache(max_known)
        self._wrong: LRUCache[bytes, float] = LRUCache(MAX_WRONG)
        self._running: dict[bytes, asyncio.Task[bytes | None]] = {}
        self._clients: Counter[str] = Counter()
        self._pool: ThreadPoolExecutor | None = None
        self.replace(users)

    def replace(self, users: Users) -> None:
        """Have these users from now on; whatever is remembered of others is forgotten."""
        self._users = users
        self._hashes = tuple(users.values())
        self._right.clear()
        self._wrong.clear()
        self._running.clear()

    def digest(self, credentials: bytes) -> bytes:
        """Under what the outcome is remembered."""
        hashed = self._hash.copy()
        hashed.update(credentials)
        return hashed.digest()

    def known(self, digest: bytes) -> bytes | None:
        """The user, if the pair has been found right lately."""
        # hot: every request of a known client
        found = self._right.get(digest)
        if found is None or found[0] < self._clock():
            return None
        return found[1]

    async def check(self, digest: bytes, name: bytes, password: bytes, client: str) -> bytes | None:
        """The user, or None if name and password do not belong together. Raises Busy.

        A client has no more than half of the places, so that it cannot take all of them.
        """
        if self._wrong.get(digest, 0.0) > self._clock():
            return None
        task = self._running.get(digest)
        if task is None:
            most = self._max_waiting
            if self._clients.total() >= most or self._clients[client] >= max(1, most // 2):
                raise Busy
            self._clients[client] += 1
            task = asyncio.create_task(self._check(digest, name, password))
            self._running[digest] = task
            task.add_done_callback(partial(self._ended, digest, client))
        return await asyncio.shield(task)

    def _ended(self, digest: bytes, client: str, task: asyncio.Task[bytes | None]) -> None:
        if self._running.get(digest) is task:
            del self._running[digest]
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    async def _check(self, digest: bytes, name: bytes, password: bytes) -> bytes | None:
        users = self._users
        found = users.get(name)
        hashed = found or self._stand_in(name)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="basic-auth")
        is_right = await asyncio.get_running_loop().run_in_executor(self._pool, hashed.fits, password)
        user = name if is_right and found is not None else None
        if users is self._users:
            if user is None:
                self._wrong[digest] = self._clock() + WRONG_SECONDS
            elif self._seconds:
                self._right[digest] = (self._clock() + self._seconds, user)
        return user

    def _stand_in(self, name: bytes) -> PasswordHash:
        """Whose hash a name that nobody has is checked against, always the same one.

        Hashes of several kinds and costs take different times. So a stranger's time is one of a user's, and says no
        more than another user's would.
        """
        number = int.from_bytes(self.digest(name))
        return self._hashes[number % len(self._hashes)]

    def close(self) -> None:
        """Let go of the threads; what waits for one is given up."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __repr__(self) -> str:
        return f"<Checker: {len(self._users)} users, {len(self._right)} known, {self._clients.total()} waiting>"
