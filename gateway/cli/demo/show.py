"""What the tours have in common: how they are put on stage, and how one walks past their stops.

Does not know what is to be seen there.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from gateway.cli.demo.child import Child
from gateway.cli.demo.screen import Board, Hint, Screen

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 15.0
"""How long a stop waits for what it wants to show, beyond its own time."""


class Show(Board, Protocol):
    """A demo on stage: its gateway runs, its origins serve, and people come."""

    child: Child
    hints: Sequence[Hint]
    """What is said at the head of it all, beside where the gateway is."""

    def tour(self, screen: Screen, step: float) -> Tour:
        """The walk, from its first stop; `step` is the seconds for each."""

    async def look(self) -> None:
        """See what there is now. Raises ConfigurationError if the gateway does not answer."""

    async def end(self) -> None:
        """Ask no more, and let what is under way come home."""


Stage: TypeAlias = Callable[[str, Path, asyncio.Event], AbstractAsyncContextManager[Show]]
"""What begins a show: an address to listen on, a folder for files, what to set when the gateway ends by itself."""


class Tour(ABC):
    """One walk past all stops; each takes `step` seconds, or longer if what it shows takes longer."""

    def __init__(self, screen: Screen, step: float) -> None:
        self._screen = screen
        self._step = step

    @property
    @abstractmethod
    def stops(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """In their order."""

    @property
    @abstractmethod
    def failed(self) -> int:
        """Requests of ours that failed, up to now."""

    @property
    @abstractmethod
    def commands(self) -> Sequence[str]:
        """What to try when the tour is over."""

    async def walk(self) -> None:
        """From the first stop to the last."""
        for number, stop in enumerate(self.stops, 1):
            self._place = f"{number} of {len(self.stops)}"
            failed = self.failed
            await stop()
            failed = self.failed - failed
            self._screen.found(f"{failed or 'no'} request{'' if failed == 1 else 's'} failed", is_good=not failed)
        self._screen.stop_at(
            "The tour is over, and the gateway goes on until Ctrl-C. It is yours to try:", "", *self.commands
        )

    def _tell(self, title: str, text: str, *commands: str) -> None:
        self._screen.stop_at(f"{self._place}  {title}", text, *commands)

    async def _stay(self, since: float) -> None:
        await asyncio.sleep(max(0.0, since + self._step - time.monotonic()))

    async def _until(self, condition: Callable[[], bool]) -> float:
        """Seconds until it held. Gives up after a while: the table shows what there is instead."""
        began = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():  # noqa: ASYNC110  # what is looked at are counts, which tell nobody
                    await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - began
