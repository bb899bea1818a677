"""A file that is read again when it has changed, and whose last good content stays while it is wrong.

Owns when it is read and what the log says. It is looked at now and then rather than watched by the system: that
works on every file system, and a file that is replaced by another one is nothing special.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("gateway.security")


class WatchedFile(Generic[T]):
    """What a function makes of a file; `content` is the last that it could be made of."""

    def __init__(
        self, path: Path, read: Callable[[Path], T], key: str, describe: Callable[[T], str] = repr
    ) -> None:
        """Read it now; `describe` says in the log what is in it. Raises ValueError, which names `key`, the setting
        that the path stands in.
        """
        self.path = path
        self._read, self._describe = read, describe
        self._name = f"{key}: {path}"
        self._stamp: tuple[int, ...] | None = None
        self._seen: tuple[int, ...] | None = None
        self._failing = ""
        try:
            self._stamp = self._look_at()
            self.content = read(path)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self._name}: {_reason(error)}") from None

    def look(self) -> bool:
        """Read it if it has changed, and has been so for one more look; whether there is new content.

        Blocks, so it is for a thread.
        """
        try:
            stamp = self._look_at()
            is_changing, self._seen = stamp != self._seen, stamp
            if stamp == self._stamp or is_changing:  # whoever writes it may have written but a part
                return False
            self._stamp = stamp  # a file that is wrong is not read again before somebody changes it
            self.content = self._read(self.path)
        except (OSError, ValueError) as error:
            self._fail(error)
            return False
        self._failing = ""
        log.info("%s: read anew: %s", self._name, self._describe(self.content))
        return True

    def _look_at(self) -> tuple[int, ...]:
        status = self.path.stat()
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size

    def _fail(self, error: Exception) -> None:
        reason = _reason(error)
        if isinstance(error, OSError):
            self._stamp = None  # it may come back just as it was
        if self._failing != reason:
            self._failing = reason
            log.error("%s: %s; what was read before stays in force", self._name, reason)

    def __repr__(self) -> str:
        return f"<WatchedFile {self._name}{': ' + self._failing if self._failing else ''}>"


def _reason(error: Exception) -> str:
    return f"cannot be read: {error.strerror or error}" if isinstance(error, OSError) else str(error)
