"""Look at the first bytes of a connection and leave them there for whoever reads it next.

Owns the waiting for enough of them. Does not know what they mean: `client_hello` and `proxy_protocol` do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

UNIX_PAUSE_SECONDS = 0.005
"""A Unix socket wakes us for every byte that is there, however many we want."""


class Incomplete(Exception):
    """What is there is not whole; `wanted` bytes in all are needed before it is worth looking again."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class NothingSaid(ConnectionResetError):
    """The peer has left without a word, as those do that only want to know whether somebody is there."""


async def peek(peer: socket.socket, read: Callable[[bytes], T], most: int) -> T:
    """What `read` makes of the first bytes. It raises Incomplete as long as it wants more.

    Raises ConnectionError if the peer ends before that (NothingSaid if it has said nothing), ValueError if more
    than `most` bytes are wanted, and what `read` raises. Waits for ever: the caller sets a deadline.
    """
    wanted, seen = 1, -1
    try:
        while True:
            data = _look(peer, most, seen > 0)
            if len(data) >= wanted:
                try:
                    return read(data)
                except Incomplete as error:
                    wanted = error.wanted
                if wanted > most:
                    raise ValueError("what the connection begins with is too long")
            elif len(data) == seen:
                await _wait_though_readable(peer)
            seen = len(data)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            await _readable(peer)
    finally:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _look(peer: socket.socket, most: int, has_begun: bool) -> bytes:
    try:
        data = peer.recv(most, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
    except ConnectionResetError:
        if has_begun:
            raise
        data = b""
    if not data:  # what has come is there to be looked at, even when its sender has left
        raise NothingSaid("the peer has left without a word")
    return data


async def _wait_though_readable(peer: socket.socket) -> None:
    """Woken, and nothing new is there: on TCP, which wakes us only for enough, that is the end."""
    if peer.family != socket.AF_UNIX:
        raise ConnectionResetError("the peer has left")
    await asyncio.sleep(UNIX_PAUSE_SECONDS)


async def _readable(peer: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()
    loop.add_reader(peer.fileno(), _wake, waiting)
    try:
        await waiting
    finally:
        loop.remove_reader(peer.fileno())


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
