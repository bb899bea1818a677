"""Notice that files have changed: certificates and lists are renewed by programs that do not know us.

Owns the looking, for the core and for plugins. What is done about a change is theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeAlias

log = logging.getLogger("gateway")

LOOK_SECONDS = 1.0


Looks: TypeAlias = dict[Path, tuple[int, ...]]
"""What is another whenever a file, or who may read it, is."""


def watch_files(
    files: Callable[[], Iterable[Path]],
    changed: Callable[[], Awaitable[object]],
    every: float = LOOK_SECONDS,
    known: Looks | None = None,
) -> Coroutine[Any, Any, None]:
    """Await `changed` whenever one of the files is another than before, and has been so for one more look.

    Before is when this is called, or when `known` was looked up with `look_at`: just before the files were read.

    Who writes several files writes one after the other: what is still changing is waited for. Files that are not
    there yet, or no more, are nothing to fear. Never returns: run it as a task, and cancel that in `shutdown`.
    """
    return _watch(files, changed, every, look_at(files()) if known is None else known)


async def _watch(
    files: Callable[[], Iterable[Path]], changed: Callable[[], Awaitable[object]], every: float, known: Looks
) -> None:
    seen = known
    while True:
        await asyncio.sleep(every)
        now = look_at(files())
        if now != known and now == seen:
            known = now
            try:
                await changed()
            except Exception:
                log.exception("what follows from a change of %s failed", ", ".join(map(str, files())))
        seen = now


def look_at(files: Iterable[Path]) -> Looks:
    """Something that is another whenever a file, or who may read it, is; one that is gone has no part in it."""
    looks: Looks = {}
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        looks[path] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    return looks
