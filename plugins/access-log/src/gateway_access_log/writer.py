"""Lines on their way to a file or to stdout: gathered, handed over in batches, written by a thread.

Owns the buffer, the file and what happens when it cannot be written. Never blocks the caller and never raises
in its face: lines that find no place are dropped, counted, and spoken of once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import select
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

log = logging.getLogger("gateway.access_log")

CLOSING_SECONDS = 5.0
"""How long the last lines may take at shutdown."""


class LineWriter:
    """Gathers lines on the loop and writes them, whole and in order, from one thread.

    A batch is handed over when it is full, or `flush_seconds` after its first line. At most `max_lines` wait.
    `path` None means stdout.
    """

    def __init__(self, path: Path | None, *, batch_lines: int, flush_seconds: float, max_lines: int) -> None:
        self._file = LogFile(path)
        self._batch_lines = batch_lines
        self._flush_seconds = flush_seconds
        self._max_lines = max_lines
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._is_closed = False
        self._handed = 0
        self._refused = 0
        self._is_refusing = False

    def check(self) -> None:
        """Look whether the file could be opened, and make none. Raises OSError."""
        self._file.check()

    def open(self) -> None:
        """Open the file and begin to write. Raises OSError."""
        self._file.open()
        # A daemon: a file that hangs shall not keep the worker from ending.
        Thread(target=self._work, name="access-log", daemon=True).start()

    def _work(self) -> None:
        while self._file.is_open:
            job = self._jobs.get()
            try:
                job()
            except Exception:
                log.exception("%s: a batch failed", self._file)

    def add(self, line: bytes) -> None:
        """Take a line that ends with a newline."""
        # hot: l7-balancer
        lines = self._lines
        lines.append(line)
        if len(lines) >= self._batch_lines:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush_seconds, self.flush)

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        # Two counters with one writer each, so that they need no lock.
        if self._is_closed or self._handed - self._file.taken + len(lines) > self._max_lines:
            self._refuse(len(lines))
            return
        if self._is_refusing:
            self._is_refusing = False
            log.warning("%s: writing again; %d lines were dropped until now", self._file, self._refused)
        self._handed += len(lines)
        self._jobs.put(partial(self._file.write, lines))

    def reopen(self) -> None:
        """Open the file anew, after the lines that are on their way: it may have been moved."""
        if self._is_closed:
            return
        self.flush()
        self._jobs.put(self._file.reopen)

    async def close(self) -> None:
        """Write what is left, and close; gives up after some seconds."""
        if self._is_closed or not self._file.is_open:
            return
        self.flush()
        self._is_closed = True
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._file.close()
            loop.call_soon_threadsafe(done.set)

        self._jobs.put(close)
        try:
            await asyncio.wait_for(done.wait(), CLOSING_SECONDS)
        except TimeoutError:
            log.error("%s: the last lines could not be written in time", self._file)

    @property
    def dropped(self) -> int:
        """Lines that were lost until now."""
        return self._refused + self._file.dropped

    def _refuse(self, count: int) -> None:
        self._refused += count
        if not self._is_refusing:
            self._is_refusing = True
            log.error("%s: too slow, %d lines wait to be written; lines are dropped", self._file, self._max_lines)

    def __repr__(self) -> str:
        return f"<LineWriter {self._file}: {len(self._lines)} gathered, {self.dropped} dropped>"


class LogFile:
    """The open file. After `open`, everything but the counters belongs to the writing thread."""

    def __init__(self, path: Path | None, write: Callable[[int, bytes], int] = os.write) -> None:
        self._path = path
        self._os_write = write
        self._fd = -1
        self._is_pipe = False
        self._is_failing = False
        self._is_torn = False
        self._written = 0
        self.taken = 0
        """Lines that were written or dropped here."""
        self.dropped = 0

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return self._fd >= 0

    def check(self) -> None:
        """Look whether it could be opened, without doing so: a pipe has a reader who would take that for an end."""
        if self._path is None:
            return
        is_there = self._path.exists()
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not is_there and not self._path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not os.access(self._path if is_there else self._path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def open(self) -> None:
        """Open it for appending: several workers write to the same file. Raises OSError."""
        if self._path is None:
            self._fd = os.dup(1)
        else:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._is_pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)

    def reopen(self) -> None:
        """Open it anew, and keep the old one if that fails."""
        if self._path is None:
            return
        old = self._fd
        try:
            self.open()
        except OSError as error:
            log.error("%s: cannot be opened again, the old file stays in use: %s", self, error.strerror)
            return
        self._is_torn = False
        if old >= 0:
            os.close(old)

    def write(self, lines: list[bytes]) -> None:
        """Write these lines, or count them as dropped."""
        self._written = 0
        try:
            for piece in self._pieces(lines):
                self._write_all(piece)
        except OSError as error:
            self.dropped += len(lines) - self._written
            if not self._is_failing:
                self._is_failing = True
                log.error("%s: cannot be written, lines are dropped: %s", self, error.strerror)
        else:
            if self._is_failing:
                self._is_failing = False
                log.warning("%s: writing again; %d lines were dropped until now", self, self.dropped)
        self.taken += len(lines)

    def _pieces(self, lines: list[bytes]) -> list[bytes]:
        """One write for all; a pipe gets pieces that the system keeps whole beside those of other workers."""
        if not self._is_pipe:
            return [b"".join(lines)]
        pieces: list[bytes] = []
        piece = b""
        for line in lines:
            if piece and len(piece) + len(line) > select.PIPE_BUF:
                pieces.append(piece)
                piece = b""
            piece += line
        return [*pieces, piece]

    def _write_all(self, data: bytes) -> None:
        if self._is_torn:
            self._os_write(self._fd, b"\n")
            self._is_torn = False
        while data:
            count = self._os_write(self._fd, data)
            self._written += data.count(b"\n", 0, count)
            self._is_torn = data[count - 1 : count] != b"\n"
            data = data[count:]

    def close(self) -> None:
        """Close it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __str__(self) -> str:
        return f"access log {self._path or 'on stdout'}"
