"""Read the beginning of a request's body, and leave all of it to be forwarded.

Owns how a body that was read in part is put together again. `Request.read` is for those who want the whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway import Request, WholeBody


async def read_start(request: Request, most: int) -> tuple[bytes, bool]:
    """Up to so many bytes of the body, and whether that is all of it."""
    body = request.body
    if body is None:
        return b"", True
    pieces: list[bytes] = []
    size = 0
    rest = aiter(body)
    async for piece in rest:
        pieces.append(piece)
        size += len(piece)
        if size > most:
            request.body = _Continued(pieces, rest)
            return b"".join(pieces)[:most], False
    whole = b"".join(pieces)
    request.body = WholeBody(whole)
    return whole, True


class _Continued:
    """What was read, and then the rest as it arrives."""

    __slots__ = ("_pieces", "_rest")

    def __init__(self, pieces: list[bytes], rest: AsyncIterator[bytes]) -> None:
        self._pieces = pieces[::-1]
        self._rest = rest

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return self._pieces.pop() if self._pieces else await anext(self._rest)
