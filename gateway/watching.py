"""Notice that files have changed: certificates and lists are renewed by programs that do not know us.

Owns the looking, for the core and for plugins. What is done about a change is theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

log = logging.getLogger("gateway")

LOOK_SECONDS = 1.0


async def watch_files(
    files: Callable[[], Iterable[Path]], changed: Callable[[], Awaitable[object]], every: float = LOOK_SECONDS
) -> None:
    """Await `changed` whenever one of the files is another than before, and has been so for one more look.

    Who writes several files writes one after the other: what is still changing is waited for. Files that are not
    there yet, or no more, are nothing to fear. Never returns: run it as a task, and cancel that in `shutdown`.
    """
    known = seen = look_at(files())
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


def look_at(files: Iterable[Path]) -> dict[Path, tuple[int, ...]]:
    """Something that is another whenever a file, or who may read it, is; one that is gone has no part in it."""
    looks: dict[Path, tuple[int, ...]] = {}
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        looks[path] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    return looks
