"""Which worker asks the origin for what, for all workers to see: each claim is a file in a folder they share.

Creating a file that must not be there yet is what two processes cannot both do. A claim that is too old is
nobody's: its worker was killed, or its origin is too slow to make others wait.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from gateway_cache.keys import digest

HELD_SECONDS = 5.0
"""So long other workers wait for the one that has the claim."""


class Claim:
    """That one worker asks for something."""

    __slots__ = ("_path",)

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def release(self) -> None:
        """It has been asked for. A second call does nothing."""
        path, self._path = self._path, None
        if path is not None:
            _held.discard(path)
            with contextlib.suppress(OSError):
                path.unlink()


_held: set[Path] = set()
"""The claims of this process: who is in the same one need not wait, for it has asked already."""


FREE = Claim()
"""Where nobody else has to know."""


class Claims:
    """The claims of all workers that share a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, url: bytes) -> Claim | None:
        """Claim a URL; None if another worker has it. On a disk that takes no file everybody asks for himself."""
        path = self._folder / digest(url).hex()
        if path in _held:
            return FREE
        for _ in range(2):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                _held.add(path)
                return Claim(path)
            except FileExistsError:
                if not _is_abandoned(path):
                    return None
                with contextlib.suppress(OSError):
                    path.unlink()
            except OSError:
                return FREE
        return None


def _is_abandoned(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > HELD_SECONDS
    except OSError:
        return True  # it was released just now


__all__ = ["FREE", "Claim", "Claims"]
