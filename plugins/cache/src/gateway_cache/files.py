"""Bodies that are too long for memory: each in a file of its own, written while it arrives and read from there.

Owns the folder of these files, their names, and how one is told from another that took its place. Does not know
which responses they belong to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from gateway import OpenFile

READ_BYTES = 256 * 1024
UNFINISHED = ".part"
"""How the names of files end that are being written."""


class BodyFile(NamedTuple):
    """A body in a file, as a stored response remembers it."""

    path: str
    size: int
    changed: int
    """Nanoseconds since the epoch: whoever writes into the file changes that."""

    def open(self) -> OpenFile | None:
        """The file; None if it has vanished, or is not what it was."""
        try:
            file = OpenFile(self.path)
        except OSError:
            return None
        return file if (file.status.st_size, file.status.st_mtime_ns) == (self.size, self.changed) else None

    def remove(self) -> None:
        """Free its room; those who have it open read on."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class Spill:
    """A body on its way into a file. Whoever reads along may read from there what is no longer in memory."""

    def __init__(self, folder: Path, most: int) -> None:
        """`most` is how many bytes may come. Raises OSError."""
        self._path = folder / (secrets.token_hex(16) + UNFINISHED)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = OpenFile.adopt(descriptor)
        self._most = most
        self.written = 0
        """How many bytes are in the file."""

    async def write(self, pieces: list[bytes]) -> None:
        """Write further pieces. Raises OSError, also for a body that becomes too long."""
        await asyncio.to_thread(self._write, b"".join(pieces))

    def _write(self, data: bytes) -> None:
        if self.written + len(data) > self._most:
            raise OSError("the body is too long to be stored")
        rest = memoryview(data)
        while rest:
            count = os.pwrite(self._file.descriptor, rest, self.written)
            self.written += count
            rest = rest[count:]

    async def read(self, place: int, length: int) -> bytes:
        """Bytes that are in the file: at least one, up to so many. Raises OSError."""
        length = min(length, READ_BYTES, self.written - place)
        piece = self._file.read_now(place, length)
        return piece if piece else await asyncio.to_thread(self._file.read, place, length)

    async def finish(self) -> BodyFile:
        """All of it is there. Raises OSError."""
        return await asyncio.to_thread(self._finish)

    def _finish(self) -> BodyFile:
        path = self._path.with_suffix("")
        os.rename(self._path, path)
        self._path = path
        status = os.fstat(self._file.descriptor)
        return BodyFile(os.fspath(path), status.st_size, status.st_mtime_ns)

    def discard(self) -> None:
        """It is not to be stored. Those who read along may read on."""
        with contextlib.suppress(OSError):
            self._path.unlink()


__all__ = ["UNFINISHED", "BodyFile", "Spill"]
