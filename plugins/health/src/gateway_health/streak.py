"""From single checks to a state: how many in a row it takes.

Pure: knows neither endpoints nor clocks.
"""

from __future__ import annotations

from enum import Enum


class Turn(Enum):
    """What a check changes."""

    NONE = "none"
    FALL = "fall"
    RISE = "rise"


class Streak:
    """The latest checks of one endpoint. `fall` failures in a row, or `rise` successes, turn it."""

    __slots__ = ("_failed", "_fall", "_passed", "_rise")

    def __init__(self, rise: int, fall: int) -> None:
        self._rise = rise
        self._fall = fall
        self._passed = 0
        self._failed = 0

    def take(self, is_well: bool, is_down: bool) -> Turn:
        """Count a check of an endpoint that the checks hold for down, or for up.

        Who asks says which, so that nothing is lost when somebody else has looked after the endpoint meanwhile.
        """
        if is_well:
            self._passed, self._failed = self._passed + 1, 0
            return Turn.RISE if is_down and self._passed >= self._rise else Turn.NONE
        self._passed, self._failed = 0, self._failed + 1
        return Turn.FALL if not is_down and self._failed >= self._fall else Turn.NONE

    def __repr__(self) -> str:
        return f"<Streak: {self._passed} passed, {self._failed} failed>"
