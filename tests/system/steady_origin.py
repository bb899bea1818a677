"""A fast origin in a process of its own: answers every GET with the text given as its argument.

Prints its port and serves until it is killed. For tests under load; it reads no bodies.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class Steady(asyncio.Protocol):
    """Count the ends of request heads, answer each."""

    response = b""

    def __init__(self) -> None:
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        heads = data.count(b"\r\n\r\n")
        self._tail = data[data.rfind(b"\r\n\r\n") + 4 :] if heads else data
        self._transport.write(self.response * heads)


async def main(body: bytes) -> None:
    Steady.response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    server = await asyncio.get_running_loop().create_server(Steady, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1].encode()))
