"""Where the gateway's own log goes: stderr, a line a record. The access log is a plugin.

Plugins' loggers are children of ours (`gateway.registry`); of other libraries only warnings and errors are told.
Nobody is held up by a log: what whoever reads stderr does not take is dropped, and counted.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys

FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"

AT_ONCE_BYTES = select.PIPE_BUF
"""What a pipe takes without waiting, if it takes anything (poll(2), pipe(7))."""
PATIENCE_MS = 50
"""For the rest of a record that has begun."""


class UnhurriedHandler(logging.Handler):
    """Writes to a descriptor as long as that takes something."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; drop it if nobody reads."""
        try:
            data = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            if not self._takes(0):
                self._dropped += 1
                return
            if self._dropped:
                count, self._dropped = self._dropped, 0
                self._write(b"gateway: nobody read this log: %d records were dropped\n" % count)
            self._write(data)
        except Exception:
            self.handleError(record)

    def _takes(self, milliseconds: int) -> bool:
        return any(events & select.POLLOUT for _, events in self._poll.poll(milliseconds))

    def _write(self, data: bytes) -> None:
        for start in range(0, len(data), AT_ONCE_BYTES):
            if not self._takes(PATIENCE_MS):
                self._dropped += 1
                return
            os.write(self._descriptor, data[start : start + AT_ONCE_BYTES])


def set_up_logging(level: str) -> None:
    """Log to stderr from this level on."""
    handler = _handler()
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("WARNING")
    logging.getLogger("gateway").setLevel(level.upper())


def _handler() -> logging.Handler:
    try:
        return UnhurriedHandler(sys.stderr.fileno())
    except (AttributeError, OSError, io.UnsupportedOperation):  # replaced by something that is no file
        return logging.StreamHandler(sys.stderr)
