"""A file on disk, or a part of it, as a response's body.

Owns the open file and reading it without blocking the event loop. Does not choose files and writes no headers.

Granian could send a file by its path (ASGI's `http.response.pathsend`). It opens it some time after it was told,
when the name may mean another file, reports neither that nor one that became shorter, and costs twice as much.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.errors import ResponseCut

PIECE_BYTES = 256 * 1024


class OpenFile:
    """A regular file that is open for reading, until nobody holds it any more.

    Its size is that of when it was opened: files that are replaced rather than overwritten do not change.
    """

    __slots__ = ("descriptor", "status")

    def __init__(self, path: str | Path, flags: int = 0) -> None:
        """Raises OSError. Whether it is a regular file is for `status` to tell."""
        # Not blocking, for the opening of a FIFO would wait for a writer.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
        self.status = os.fstat(self.descriptor)

    @classmethod
    def adopt(cls, descriptor: int) -> OpenFile:
        """One that somebody has opened otherwise; from now on it is this object's to close."""
        file = cls.__new__(cls)
        file.descriptor = descriptor
        file.status = os.fstat(descriptor)
        return file

    @property
    def size(self) -> int:
        """In bytes."""
        return self.status.st_size

    def read(self, start: int, length: int) -> bytes:
        """Up to so many bytes from `start` on; blocks as long as the disk does."""
        return os.pread(self.descriptor, length, start)

    def read_now(self, start: int, length: int) -> bytes | None:
        """The same if the system has it in memory; None if it would have to wait for the disk, or cannot tell."""
        buffer = bytearray(length)
        try:
            count = os.preadv(self.descriptor, [buffer], start, os.RWF_NOWAIT)
        except OSError:
            return None
        return bytes(memoryview(buffer)[:count])

    def __del__(self) -> None:
        descriptor = getattr(self, "descriptor", -1)
        if descriptor >= 0:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"<OpenFile {self.descriptor}, {self.size} bytes>"


class FileBody:
    """A file, or `length` bytes of it from `start` on, as a body.

    Read piece by piece, as the client takes them: at once if the system has the piece in memory, else in a thread.
    A file that has become shorter meanwhile cuts the response.
    """

    __slots__ = ("file", "length", "start")

    def __init__(self, file: OpenFile, start: int = 0, length: int | None = None) -> None:
        self.file = file
        self.start = start
        self.length = file.size - start if length is None else length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, place, end = asyncio.get_running_loop(), self.start, self.start + self.length
        while place < end:
            length = min(PIECE_BYTES, end - place)
            piece = self.file.read_now(place, length)
            if piece is None:
                piece = await loop.run_in_executor(None, self.file.read, place, length)
            else:
                # Neither this nor sending to a client that left has to wait: let others have their turn.
                await asyncio.sleep(0)
            if not piece:
                raise ResponseCut(f"{self.file} became shorter while it was sent")
            place += len(piece)
            yield piece

    def __repr__(self) -> str:
        return f"<FileBody {self.start} to {self.start + self.length} of {self.file}>"
