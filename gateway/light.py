"""Run a coroutine without a task for as long as all it waits for is an endpoint's response.

Most exchanges wait exactly once. A task, its futures and its turns of the loop cost them more than all the
rest of the way through the core; so a light coroutine is driven straight by the callback that it waits for.
Before it awaits anything that belongs to asyncio (a timer, a lock, a plugin's coroutine) it awaits `as_task`,
and from there on it is an ordinary task.

Owns both ways of driving. Does not know what is driven.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeAlias

Driven: TypeAlias = Coroutine[Any, Any, None]
Promote: TypeAlias = Callable[[Driven], object]

_PROMOTE = object()


class Waiter(Protocol):
    """What a coroutine waits for and a callback fulfils; a future, or an `Arrival`."""

    def __await__(self) -> Generator[Any, None, None]:
        """Wait."""
        ...

    def done(self) -> bool:
        """Whether it is fulfilled."""
        ...

    def set_result(self, result: None) -> None:
        """Let the coroutine go on."""
        ...

    def set_exception(self, exception: BaseException) -> None:
        """Let the coroutine go on with an error."""
        ...


class Arrival:
    """What a light coroutine waits for. Fulfilling it drives the coroutine on, at once, in the same callback."""

    # hot: plain
    __slots__ = ("_coroutine", "_error", "_is_done", "_promote")

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._is_done = False

    def __await__(self) -> Generator[Arrival, None, None]:
        yield self
        if self._error is not None:
            raise self._error

    def attach(self, coroutine: Driven, promote: Promote) -> None:
        """Remember whom to drive on."""
        self._coroutine = coroutine
        self._promote = promote

    def renewed(self) -> Arrival:
        """The same once more, unfulfilled; whoever waited for it has gone on."""
        self._error = None
        self._is_done = False
        return self

    def done(self) -> bool:
        """Whether it is fulfilled."""
        return self._is_done

    def set_result(self, result: None) -> None:
        """Drive the coroutine on."""
        self._is_done = True
        drive(self._coroutine, self._promote)

    def set_exception(self, exception: BaseException) -> None:
        """Drive the coroutine on with an error."""
        self._error = exception
        self.set_result(None)


def drive(coroutine: Driven, promote: Promote) -> None:
    """Run a coroutine until it ends, waits for an Arrival, or has to become a task: then `promote` makes one."""
    # hot: plain
    try:
        waiting_for = coroutine.send(None)
    except StopIteration:
        return
    if waiting_for is _PROMOTE:
        promote(coroutine)
    else:
        waiting_for.attach(coroutine, promote)


@types.coroutine
def as_task() -> Generator[object, None, None]:
    """From here on, be an ordinary task; does nothing for what is one already."""
    if asyncio.current_task() is None:
        yield _PROMOTE
