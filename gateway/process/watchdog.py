"""A thread that looks whether the event loop goes on, and tells which code holds it up.

A hook that blocks holds up every exchange of its worker, and nothing else shows which hook that is.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
from pathlib import Path
from types import FrameType

log = logging.getLogger("gateway.worker")

PATIENCE_SECONDS = 1.0
"""So long the loop may stand still before that is told."""
BEAT_SECONDS = 0.25

_NOT_PLUGINS = (str(Path(__file__).parents[1]), sysconfig.get_paths()["stdlib"])
"""Our own code and the standard library: who called them is of more interest. Packages lie in neither."""


class Watchdog:
    """Watches the loop of the thread that starts it, until the process ends."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._beaten = 0.0
        self._is_told = False

    def start(self) -> None:
        """Watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _beat(self) -> None:
        now = time.monotonic()
        if self._is_told:
            self._is_told = False
            log.warning("worker %d goes on after %.1f s", self._worker, now - self._beaten)
        self._beaten = now
        self._loop.call_later(BEAT_SECONDS, self._beat)

    def _watch(self) -> None:
        looked = time.monotonic()
        while True:
            time.sleep(BEAT_SECONDS)
            now = time.monotonic()
            # A thread that is late itself is on a machine that is too busy to tell.
            is_late, looked = now - looked > 2 * BEAT_SECONDS, now
            if is_late or self._is_told or now - self._beaten < PATIENCE_SECONDS:
                continue
            frame = sys._current_frames().get(self._watched)
            if frame is not None:
                self._is_told = True
                log.warning(
                    "worker %d has stood still for %.1f s, and all its exchanges with it: %s",
                    self._worker, now - self._beaten, _place(frame),
                )  # fmt: skip


def _place(frame: FrameType) -> str:
    """The innermost line that is neither ours nor the standard library's, else the innermost."""
    found: FrameType | None = frame
    while found is not None and _is_ours(found.f_code.co_filename):
        found = found.f_back
    found = found or frame
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"


def _is_ours(file: str) -> bool:
    return file.startswith("<") or (file.startswith(_NOT_PLUGINS) and "site-packages" not in file)


__all__ = ["Watchdog"]
