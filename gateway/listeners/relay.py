"""Carry bytes between two connections, with back-pressure both ways and ends passed on.

Owns nothing but the bytes on their way: at most what the two transports hold.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Side(asyncio.Protocol):
    """One of two connections; what arrives here goes out at the `other` side."""

    __slots__ = ("_early", "_has_ended", "can_half_close", "lost", "other", "transport")

    def __init__(self, *, can_half_close: bool = True) -> None:
        self.transport: Any = None
        self.other: Side | None = None
        self.can_half_close = can_half_close
        """False over TLS, where the end of one direction is the end of both."""
        self._early: list[bytes] = []
        """What came before there was another side: a loop may have read some when it is told to pause."""
        self._has_ended = False
        """Whether the peer has said its last."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when this side is gone."""

    def join(self, other: Side) -> None:
        """Let the bytes flow; both sides have been waiting for each other."""
        self.other, other.other = other, self
        for side in (self, other):
            if side.transport.is_closing():  # it left while the other one was coming
                side._end_other(None)
                return
        for side in (self, other):
            side._pass_early()
            side.transport.resume_reading()

    def _pass_early(self) -> None:
        if self.other is not None:
            self.other.transport.writelines(self._early)
        self._early = []

    def connection_made(self, transport: Any) -> None:
        """Nothing is read before there is somebody to pass it on to."""
        self.transport = transport
        transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        other = self.other
        if other is None:
            self._early.append(data)
        else:
            other.transport.write(data)

    def pause_writing(self) -> None:
        """This side takes no more for now: read no more from the other one."""
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side takes more again."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer says no more; true if it may go on listening."""
        other, self._has_ended = self.other, True
        if other is None or not self.can_half_close or not other.can_half_close or other._has_ended:
            return False
        other.transport.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """One side's end is the other's, too: a broken one breaks it, so that nothing cut short looks whole."""
        self._end_other(error)
        if not self.lost.done():
            self.lost.set_result(None)

    def _end_other(self, error: Exception | None) -> None:
        other, self.other = self.other, None
        if other is None:
            return
        other.other = None
        if error is None:
            other.transport.close()
        else:
            other.transport.abort()
