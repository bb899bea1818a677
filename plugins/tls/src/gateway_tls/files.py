"""What stands in the files of a listener: on the disk, or as a worker had it whose place this one takes.

A worker that dies while a file is half written, or wrong, must come back with what was served until then. Owns the
topic on the bus. Does not know what is in the files.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway import App

TOPIC = "tls.files"


class Files:
    """Reads files, and remembers what stood in each."""

    def __init__(self, inherited: Callable[[str], Sequence[Any]] | None = None) -> None:
        """`inherited` gives what the workers before have kept on a topic of the bus."""
        kept = inherited(TOPIC) if inherited is not None else ()
        self._inherited: dict[Path, bytes] = {
            Path(message["path"]): message["text"].encode("latin-1") for message in kept
        }
        self.held: dict[Path, bytes] = {}
        """What was read last."""

    @property
    def has_others(self) -> bool:
        """Whether there is something to go back to."""
        return bool(self._inherited)

    def now(self, path: Path) -> bytes:
        """What stands in a file. Raises OSError."""
        self.held[path] = data = path.read_bytes()
        return data

    def before(self, path: Path) -> bytes:
        """What stood in a file when a worker before this one has used it. Raises OSError."""
        if path not in self._inherited:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.held[path] = data = self._inherited[path]
        return data

    def keep(self, app: App) -> None:
        """Leave it to those who may have to take the place of a worker: over the bus, to no disk and no log."""
        for path, data in self.held.items():
            app.bus.publish(TOPIC, {"path": str(path), "text": data.decode("latin-1")}, keep=str(path))
