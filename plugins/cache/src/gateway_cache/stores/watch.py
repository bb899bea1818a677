"""Whether a store over the network can be asked: what a failure closes, and a try in the background opens again.

Owns the pause after a failure, and the word to the operator. Does not know which store it is. No request waits for
a try: those that come meanwhile go on without the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

log = logging.getLogger("gateway.cache")

PAUSE_SECONDS = 1.0
"""From one try to reach it to the next."""


class Watch:
    """At hand, or away since some moment. The log says once that it is away and once that it is back."""

    def __init__(
        self,
        name: str,
        reach: Callable[[], Awaitable[None]],
        pause: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reach` does all that has to be done before the store is asked, and raises whatever is in its way."""
        self._name = name
        self._reach = reach
        self._pause = pause
        self._clock = clock
        self._away_since: float | None = None
        self._at_hand = asyncio.Event()
        self._trying: asyncio.Task[None] | None = None
        self.failures = 0
        """What was not answered, or not in time."""

    @property
    def is_away(self) -> bool:
        """Whether it failed and has not been reached since. Before the first try nobody knows."""
        return self._away_since is not None

    def begin(self) -> None:
        """Try to reach it for the first time."""
        self._try()

    async def at_hand(self) -> None:
        """Wait until it has been reached."""
        await self._at_hand.wait()

    def fail(self, error: Exception) -> None:
        """Something was not answered: leave it alone for a while."""
        self.failures += 1
        self._at_hand.clear()
        if self._away_since is None:
            self._away_since = self._clock()
            log.warning(
                "cache: %s is away (%s: %s): until it is back the cache goes on with what is in memory",
                self._name, type(error).__name__, str(error) or "no answer in time",
            )  # fmt: skip
        if self._trying is None:
            self._try(self._pause)

    def _try(self, pause: float = 0.0) -> None:
        self._trying = asyncio.get_running_loop().create_task(self._try_until_reached(pause))

    async def _try_until_reached(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            pause = self._pause
            try:
                await self._reach()
            except Exception as error:  # each client has errors of its own
                self.fail(error)
            else:
                break
        self._trying = None
        self._at_hand.set()
        if self._away_since is not None:
            log.warning("cache: %s is back after %.1f s", self._name, self._clock() - self._away_since)
            self._away_since = None

    async def end(self) -> None:
        """Give up trying."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])

    def __repr__(self) -> str:
        return f"<Watch {self._name}: {'away' if self.is_away else 'at hand'}, {self.failures} failures>"


__all__ = ["Watch"]
