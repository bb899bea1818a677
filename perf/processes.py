"""Child processes: started on one core, watched, and stopped by their own pid.

Knows process trees and their CPU time. Does not know what runs in them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_SECONDS = 5.0
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """A child and where its output goes."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def last_words(self) -> str:
        """The last line that it wrote, for an error message."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def start(
    argv: Sequence[str | Path], *, core: int, log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> Process:
    """Start a child that is pinned to `core` from its first instruction, in a session of its own.

    A session of its own, so that Ctrl-C in the terminal reaches us alone and the order of stopping is ours.
    """
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [str(word) for word in argv],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    finally:
        os.sched_setaffinity(0, ours)
    return Process(popen, log)


def stop(process: Process) -> None:
    """SIGTERM, a deadline, then SIGKILL for what is left of the tree. Returns when the child is reaped."""
    if not process.is_running:
        return
    members = tree(process.pid)
    process.popen.terminate()
    try:
        process.popen.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in reversed(members):
            _kill(pid)
        process.popen.wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def tree(root: int) -> list[int]:
    """`root` and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpu_ns(roots: Iterable[int]) -> int:
    """User and system time that these processes and all their descendants have used, in nanoseconds.

    Live processes are read from their CPU clock, which is exact and counts threads that have ended;
    children that ended and were reaped count with the kernel's tick.
    """
    return sum(_process_cpu_ns(pid) for root in roots for pid in tree(root))


def _process_cpu_ns(pid: int) -> int:
    fields = _stat(pid)
    try:
        # The clock id of another process, as clock_getcpuclockid(3) makes it: CPUCLOCK_SCHED is 2.
        own = time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0
    reaped = (int(fields[13]) + int(fields[14])) if fields else 0
    return own + reaped * _TICK_NS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the name (state is 0, ppid 1, cutime 13, cstime 14)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
