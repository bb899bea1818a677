"""What a body is: whole, or arriving piece by piece and perhaps holding something that must be given back.

Owns the shapes. Does not know whose body it is (`request_body`, `response_body`) and reads no files (`file_body`).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol, TypeAlias

from gateway.errors import BadResponse, GatewayError

Body: TypeAlias = bytes | AsyncIterable[bytes]
"""A whole body, or one that arrives piece by piece."""


class WholeBody:
    """A body that is there, for those who read it piece by piece; `data` is all of it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def length(self) -> int:
        """Bytes of it."""
        return len(self.data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data


class OpenBody(Protocol):
    """A body that holds something which must be given back."""

    def close(self, error: GatewayError | None = None) -> None:
        """End it now; a second call does nothing."""
        ...

    def fail(self, error: GatewayError) -> None:
        """Let whoever reads it get an error."""
        ...

    def has_data(self) -> bool:
        """Whether a piece of it is there, so that reading it will not wait."""
        ...


async def gathered(body: Body, most: int) -> bytes:
    """All of a response's body. Raises BadResponse for more than `most` bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in WholeBody(body) if isinstance(body, bytes) else body:
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise BadResponse(f"a body of more than {most} bytes, where one is read whole")
    return b"".join(pieces)
