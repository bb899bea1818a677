"""Look at a process and its children through /proc: who they are and what memory they hold."""

from __future__ import annotations

import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def children_of(pid: int) -> list[int]:
    """Direct children that are alive, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            state, parent = _state_and_parent(int(entry.name))
            if parent == pid and state not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def tree_of(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for child in children_of(pid):
        found += tree_of(child)
    return found


def rss_bytes(pid: int) -> int:
    """Resident memory of one process, 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def open_files(pid: int) -> int:
    """How many file descriptors a process has open, 0 when it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return _state_and_parent(pid)[0] not in "ZX"


def name_of(pid: int) -> str:
    """What `ps -o comm` shows, empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[1])
    except (OSError, IndexError):
        return "X", 0
