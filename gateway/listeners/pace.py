"""Hold a client to a pace: the body of its request, and a stream of HTTP/2 that it takes.

Only the time counts in which the client is waited for: an endpoint that is slow is not the client's fault. Does not
look at connections (`connections`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import BodyTimeout, BodyTooSlow, ClientError, ClientStalled

if TYPE_CHECKING:
    from gateway.admission import Bounds
    from gateway.listeners.connections import Client


class BodyPace:
    """How one body arrives: bytes a second over each stretch of waiting, and seconds in all.

    Pure: told how long each piece was waited for, it raises or does not.
    """

    __slots__ = ("_bounds", "_bytes", "_seconds", "_total_seconds")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._bytes = 0
        self._seconds = self._total_seconds = 0.0

    def seconds_left(self) -> float:
        """How long the next piece may be waited for; 0 for no limit."""
        bounds = self._bounds
        if not bounds.body_time:
            return bounds.body_timeout
        left = max(0.001, bounds.body_time - self._total_seconds)
        return min(left, bounds.body_timeout) if bounds.body_timeout else left

    def lapsed(self, seconds: float) -> ClientError:
        """What it means that nothing came in the seconds that were left."""
        bounds = self._bounds
        if bounds.body_time and self._total_seconds + seconds >= bounds.body_time:
            return BodyTooSlow(f"the request body took more than {bounds.body_time:g} s")
        return BodyTimeout(seconds)

    def came(self, seconds: float, size: int) -> None:
        """A piece came, not the last one, after so many seconds of waiting. Raises BodyTooSlow."""
        bounds = self._bounds
        self._bytes += size
        self._seconds += seconds
        self._total_seconds += seconds
        if bounds.body_time and self._total_seconds >= bounds.body_time:
            raise BodyTooSlow(f"the request body took more than {bounds.body_time:g} s")
        if bounds.body_timeout and self._seconds >= bounds.body_timeout:
            if self._bytes < bounds.body_rate * self._seconds:
                raise BodyTooSlow(f"the request body came with less than {bounds.body_rate} bytes/s")
            self._bytes, self._seconds = 0, 0.0

    def __repr__(self) -> str:
        return f"<BodyPace: {self._bytes} bytes in {self._seconds:g} s>"


async def taken(sending: Awaitable[None], client: Client | None, seconds: float) -> None:
    """Wait until there is room for more of a stream. Raises ClientStalled if there is none for so many seconds.

    A stream can stall while its connection is well: its client keeps the window shut (RFC 9113 5.2). One that waits
    for its turn on a slow connection does not stall, and something was seen to wait for the client meanwhile.
    """
    unfinished: Any = sending
    if seconds and hasattr(unfinished, "add_done_callback"):  # else there was room
        done = asyncio.get_running_loop().create_future()
        unfinished.add_done_callback(partial(fulfil, done))
        while not done.done():
            began = time.monotonic()
            await asyncio.wait((done,), timeout=seconds)
            if not done.done() and (client is None or client.waited_at < began):
                raise ClientStalled(seconds)
    await sending


def fulfil(future: asyncio.Future[None], _: object) -> None:
    """Say that something is there, to whoever still waits."""
    if not future.done():
        future.set_result(None)
