"""A file on disk as a response's body: the server core sends it without its bytes passing through Python.

Owns the open file and the reading of parts of it, off the event loop. Does not choose files and writes no headers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

PIECE_BYTES = 256 * 1024


class OpenFile:
    """A regular file that is open for reading, until nobody holds it any more.

    Its size is that of the moment when it was opened: files that are replaced rather than overwritten do not change.
    """

    __slots__ = ("descriptor", "status")

    def __init__(self, path: str | Path, flags: int = 0) -> None:
        """Raises OSError; IsADirectoryError and the like for what is no regular file."""
        # Not blocking, for the opening of a FIFO would wait for a writer.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
        self.status = os.fstat(self.descriptor)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.status.st_size

    def read(self, start: int, length: int) -> bytes:
        """Up to so many bytes from `start` on; blocks as long as the disk does."""
        return os.pread(self.descriptor, length, start)

    def __del__(self) -> None:
        descriptor = getattr(self, "descriptor", -1)
        if descriptor >= 0:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"<OpenFile {self.descriptor}, {self.size} bytes>"


class FileBody:
    """A file, or `length` bytes of it from `start` on, as a body.

    A whole one goes to the client by the server core; a part, and one that a plugin has wrapped, is read in a thread,
    piece by piece as the client takes them. A file that has become shorter meanwhile cuts the response.
    """

    __slots__ = ("file", "length", "start")

    def __init__(self, file: OpenFile, start: int = 0, length: int | None = None) -> None:
        self.file = file
        self.start = start
        self.length = file.size - start if length is None else length

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the file."""
        return self.start == 0 and self.length == self.file.size

    @property
    def path(self) -> str:
        """A path to just this file, whatever has become of its name."""
        return f"/proc/self/fd/{self.file.descriptor}"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, place, end = asyncio.get_running_loop(), self.start, self.start + self.length
        while place < end:
            piece = await loop.run_in_executor(None, self.file.read, place, min(PIECE_BYTES, end - place))
            if not piece:
                raise EOFError(f"{self.file} became shorter while it was sent")
            place += len(piece)
            yield piece

    def __repr__(self) -> str:
        return f"<FileBody {self.start} to {self.start + self.length} of {self.file}>"
