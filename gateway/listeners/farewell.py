"""Say a last word to a client, and stay until it can have heard it.

Owns the end of a connection that is not served. Does not know what is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

SECONDS = 1.0
"""For a client that goes on talking. It costs a place among `max_connections` meanwhile."""
PIECE_BYTES = 64 * 1024


async def say_last(peer: socket.socket, data: bytes) -> None:
    """Send a few bytes and no more, and wait for the client to leave, for a while; the caller closes.

    To close while something is unread makes the system send a reset, which takes the last word away from a client
    that has not read it yet (RFC 9112 9.6 knows the same of HTTP).
    """
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):  # a TimeoutError is one, too
        peer.send(data)
        peer.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(SECONDS):
            while await loop.sock_recv(peer, PIECE_BYTES):
                pass
