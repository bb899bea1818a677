"""Where the gateway's own log goes: stderr, a line a record. The access log is a plugin.

Plugins' loggers are children of ours (`gateway.registry`); of other libraries only warnings and errors are told.
Nobody is held up by a log: what whoever reads stderr does not take is dropped, and counted.
"""

from __future__ import annotations

import io
import logging
import os
import select
import socket
import stat
import sys
from collections.abc import Callable
from functools import partial

FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"

PATIENCE_MS = 50
"""For the rest of a record that has begun."""


class UnhurriedHandler(logging.Handler):
    """Writes to a descriptor as long as that takes something."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._write_some, watched, self.release_descriptor = _without_waiting(descriptor)
        # Not done by `close`: Granian configures logging anew, which closes every handler that there is.
        self._poll = select.poll()
        self._poll.register(watched, select.POLLOUT)
        self._dropped = 0
        self._is_torn = False
        """Whether the last record was left in its midst."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; drop it if nobody reads."""
        try:
            data = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        except Exception:
            self.handleError(record)
            return
        if self._dropped:
            data = b"gateway: nobody read this log: %d records were dropped\n" % self._dropped + data
        if self._is_torn:
            data = b"\n" + data
        rest = self._write(data)
        if rest == len(data):
            self._dropped += 1
        else:
            self._dropped, self._is_torn = 1 if rest else 0, rest > 0

    def _write(self, data: bytes) -> int:
        """Write what is taken; how many bytes are left."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._write_some(left) :]
                if left and not self._poll.poll(PATIENCE_MS):
                    break
        except OSError:  # nothing is taken, or nobody is there any more
            pass
        return len(left)


def _without_waiting(descriptor: int) -> tuple[Callable[[memoryview], int], int, Callable[[], None]]:
    """What writes to a descriptor and never waits, what tells when it takes more, and what lets go of both.

    The flags of the descriptor are shared with whoever has given it to us, so they stay as they are: a pipe or a
    terminal is opened once more, and a socket, as systemd's, is asked each time.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        peer = socket.socket(fileno=os.dup(descriptor))
        return lambda data: peer.send(data, socket.MSG_DONTWAIT), peer.fileno(), peer.close
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            pass  # somebody else's terminal, after su
        else:
            return partial(os.write, own), own, partial(os.close, own)
    return partial(os.write, descriptor), descriptor, lambda: None


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
