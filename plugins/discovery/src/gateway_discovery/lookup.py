"""Look again and again, and tell of what has changed.

Owns when the next look is due and what happens when one fails. Does not know where endpoints are found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from gateway import EndpointSettings

log = logging.getLogger("gateway.discovery")


class NotFound(Exception):
    """A lookup failed; the message says why, in words for an operator, and alike for as long as the reason is."""


class Found(NamedTuple):
    """What a lookup brought."""

    endpoints: Sequence[EndpointSettings]
    seconds: float
    """How long it holds."""


class Lookup(Protocol):
    """A place where endpoints are found."""

    async def look(self) -> Found:
        """The endpoints of the moment. Raises NotFound."""
        ...


class Watch:
    """One upstream's lookup, repeated for as long as it is run."""

    def __init__(
        self,
        lookup: Lookup,
        found: Callable[[Sequence[EndpointSettings]], None],
        *,
        name: str,
        interval: tuple[float, float],
        retry: float,
    ) -> None:
        """`found` is called with each set that differs from the one before. `interval`: the bounds of waits."""
        self._lookup = lookup
        self._found = found
        self._name = name
        self._least, self._most = interval
        self._retry = retry
        self._known: frozenset[EndpointSettings] | None = None
        self._failing = ""
        """Why the latest look failed; empty if it did not."""

    async def run(self, wait: float) -> None:
        """Look for ever, for the first time in so many seconds."""
        while True:
            await asyncio.sleep(wait)
            wait = await self.look()

    async def look(self) -> float:
        """Look once; in how many seconds the next look is due. Keeps what is known if nothing is found."""
        try:
            found = await self._lookup.look()
            if not found.endpoints:
                raise NotFound("no endpoint in it")
        except NotFound as error:
            if self._failing != str(error):
                self._failing = str(error)
                log.warning("%s: %s; the endpoints stay as they are", self._name, error)
            return self._retry
        if self._failing:
            self._failing = ""
            log.info("%s: found again", self._name)
        self._tell(found.endpoints)
        return min(max(found.seconds, self._least), self._most)

    def _tell(self, endpoints: Sequence[EndpointSettings]) -> None:
        if frozenset(endpoints) != self._known:
            self._known = frozenset(endpoints)
            self._found(sorted(endpoints, key=lambda endpoint: endpoint.url))
