"""Carry bytes between two connections, with back-pressure both ways and ends passed on.

Owns nothing but the bytes on their way: at most what the two transports hold.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any

WAITING_BYTES = 64 * 1024
"""For a peer that takes no more, beyond the piece that was read; loops have 512 KiB over TLS of themselves."""
FLUSH_LOOK_SECONDS = 0.2
GOODBYE_SECONDS = 1.0
"""So long a client that has everything may take to say goodbye, over TLS."""


class Side(asyncio.Protocol):
    """One of two connections; what arrives here goes out at the `other` side."""

    __slots__ = ("_early", "_on_end", "can_half_close", "lost", "other", "transport")

    def __init__(self, *, can_half_close: bool, on_end: Callable[[], None] | None = None) -> None:
        """`on_end` is called once, before the descriptor is anybody else's."""
        self.transport: Any = None
        self.other: Side | None = None
        self.can_half_close = can_half_close
        """Whether the peer may say its last and go on listening. Over TLS it cannot; our own server never does."""
        self._early: list[bytes] = []
        """What came before there was another side: a loop may have read some when it is told to pause."""
        self._on_end = on_end
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

    @property
    def is_behind(self) -> bool:
        """Whether something is left that this side's peer has not taken."""
        waiting: int = self.transport.get_write_buffer_size()
        return waiting > 0

    def connection_made(self, transport: Any) -> None:
        """Nothing is read before there is somebody to pass it on to."""
        self.transport = transport
        transport.set_write_buffer_limits(high=WAITING_BYTES)
        transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        other = self.other
        if other is None:
            self._early.append(data)
        elif not other.transport.is_closing():
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
        other = self.other
        if other is None or not self.can_half_close:
            self._tell_end()
            return False
        if not other.transport.is_closing():
            other.transport.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """One side's end is the other's, too: a broken one breaks it, so that nothing cut short looks whole."""
        self._tell_end()
        self._end_other(error)
        if not self.lost.done():
            self.lost.set_result(None)

    def _tell_end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def _end_other(self, error: Exception | None) -> None:
        other, self.other = self.other, None
        if other is None:
            return
        other.other = None
        other._tell_end()
        if error is None:
            other.close()
        else:
            other.transport.abort()

    def close(self) -> None:
        """End this side once its peer has taken everything, however slowly: whoever takes nothing is cut elsewhere.

        Over TLS a close has a deadline, and what is left then is thrown away: it begins when nothing is left.
        """
        if self.transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if self.is_behind:
            self.transport.pause_reading()
            loop.call_later(FLUSH_LOOK_SECONDS, self.close)
            return
        self.transport.close()
        if self.transport.get_extra_info("sslcontext") is not None:
            loop.call_later(GOODBYE_SECONDS, self._see_off)

    def _see_off(self) -> None:
        """Wait no longer for a client's goodbye (RFC 8446, 6.1) than it takes to give it everything.

        Who looks at no connection that it keeps for later, as many pools do, says it with the next request.
        """
        if self.lost.done():
            return
        if self.is_behind or _unacknowledged(self.transport.get_extra_info("socket").fileno()):
            asyncio.get_running_loop().call_later(FLUSH_LOOK_SECONDS, self._see_off)
        else:
            self.transport.abort()


def _unacknowledged(descriptor: int) -> int:
    """Bytes that the system holds until the peer's has them; 0 if the connection is gone."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    except OSError:
        return 0
    return int(count)
