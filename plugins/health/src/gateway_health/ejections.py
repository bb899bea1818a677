"""Which endpoints of one upstream are ejected, for how long, and how many at a time.

Pure: clocks are passed in, in seconds of any one clock. Does not mark endpoints (`ejector`).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from gateway_health.settings import Passive

ROUNDING = 1e-9
"""So that 0.29 of 100 endpoints are 29."""


class Ejection(NamedTuple):
    """How often an endpoint was ejected of late, and until when it is out or was."""

    times: int
    until: float


class Ejections:
    """The ejected endpoints of one upstream, by name, and those of late."""

    def __init__(self, settings: Passive) -> None:
        self._first = settings.ejection
        self._longest = settings.max_ejection
        self._share = settings.max_ejected
        self._known: dict[str, Ejection] = {}
        self._out: set[str] = set()

    @property
    def out(self) -> frozenset[str]:
        """Who is ejected."""
        return frozenset(self._out)

    def propose(self, name: str, known: Collection[str], up: Collection[str], now: float) -> Ejection | None:
        """The ejection of an endpoint, or None if it may not be. Changes nothing: see `take`.

        `known` are all endpoints of the upstream, `up` those that get traffic. It may not be if it is out already,
        if it is the last that is up, or if as many are out as may be: the share, but one in any case.
        """
        out = self._out.intersection(known)
        if name not in known or name in out or all(other == name for other in up):
            return None
        if len(out) >= max(1, math.floor(self._share * len(known) + ROUNDING)):
            return None
        times = self._times(name, now) + 1
        return Ejection(times, now + min(self._first * times, self._longest))

    def _times(self, name: str, now: float) -> int:
        """How often it was ejected, less one for each first term that it has served since."""
        latest = self._known.get(name)
        if latest is None:
            return 0
        return max(0, latest.times - int(max(0.0, now - latest.until) / self._first))

    def take(self, name: str, ejection: Ejection) -> None:
        """Take down an ejection, whoever has decided it."""
        self._known[name] = ejection
        self._out.add(name)

    def due(self, now: float) -> list[str]:
        """Whose time is over."""
        return [name for name in self._out if self._known[name].until <= now]

    @property
    def next_end(self) -> float | None:
        """When the next one's time is over; None if nobody is out."""
        return min((self._known[name].until for name in self._out), default=None)

    def end(self, name: str) -> None:
        """It is back. How often it was out is remembered."""
        self._out.discard(name)

    def forget_rested(self, known: Collection[str], now: float) -> list[str]:
        """Forget those that are gone or have made up for every ejection; their names."""
        rested = [
            name
            for name in self._known
            if name not in self._out and (name not in known or not self._times(name, now))
        ]
        for name in rested:
            del self._known[name]
        return rested

    def __repr__(self) -> str:
        return f"<Ejections: {', '.join(sorted(self._out)) or 'nobody'} out>"
