"""A file that all workers of one gateway map: where it lies, who may read it, and when it goes.

Owns names, modes and the file's life. Does not know what is in it.

Its name says whose it is: the supervisor's process id and start, and a digest of what the file is for. So the
workers of one gateway find the same one without a word, one that is started later finds it, too, and no other
gateway does. Each that uses it holds a shared lock (flock) on it, which the kernel takes back from a process that
ends; whoever leaves as the last removes it. What a gateway that was killed has left is removed by the next that
starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway import ConfigurationError

_OWNED = re.compile(r"[a-z-]+-(\d+)-(\d+)-[0-9a-f]{16}").match
_DIGEST_BYTES = 8
_PLACES = (Path("/dev/shm"),)


class Owner(NamedTuple):
    """The process that stands for a gateway as a whole; a start tells it from a later one of the same id."""

    pid: int
    start: str


def supervisor() -> Owner:
    """The parent of this worker."""
    pid = os.getppid()
    return Owner(pid, _start_of(pid) or "0")


def _start_of(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty if there is none (proc_pid_stat(5), field 22)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    return fields.rpartition(")")[2].split()[19]


def shared_folder() -> Path:
    """Where such files lie: in memory if possible, in a folder that is this user's alone. Raises
    ConfigurationError.

    Everybody may make folders in these places: where somebody else was there first, the next one serves.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = (*_PLACES, *([Path(runtime)] if runtime else []), Path(tempfile.gettempdir()))
    folders = [place / f"gateway-{os.geteuid()}" for place in places if _is_usable(place)]
    for folder in folders:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return folder
    tried = ", ".join(map(str, folders))
    raise ConfigurationError(f"no folder is this user's alone (mode 0700) of {tried}; set XDG_RUNTIME_DIR to one")


def _is_usable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


class SharedFile:
    """An open file with its memory. The memory stays mapped until nothing refers to it; `close` leaves the file."""

    def __init__(
        self,
        purpose: str,
        meaning: str,
        size: int,
        prepare: Callable[[int, mmap.mmap], None],
        *,
        folder: Path | None = None,
        owner: Owner | None = None,
    ) -> None:
        """Open the file that others have made, or make it: `size` bytes of zeros that `prepare` has to itself
        first.

        The file is sparse. `prepare`, and whoever writes to more of it, reserves that (`reserve`): a write for
        which the machine has no memory would kill the process.

        `purpose` is a word for the name, `meaning` tells files of the same purpose apart. Raises
        ConfigurationError.
        """
        folder = folder or shared_folder()
        owner = owner or supervisor()
        digest = hashlib.blake2b(f"{_boot()} {size} {meaning}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
        self.path = folder / f"{purpose}-{owner.pid}-{owner.start}-{digest}"
        try:
            self.fd = self._open(size, prepare)
            self.memory = mmap.mmap(self.fd, size)
        except OSError as error:
            raise ConfigurationError(
                f"{self.path}: {error.strerror} ({size} bytes of shared memory; lower `clients`?)"
            ) from None
        _sweep(folder)

    def _open(self, size: int, prepare: Callable[[int, mmap.mmap], None]) -> int:
        while True:
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                if self._make(size, prepare):
                    continue
                raise
            fcntl.flock(fd, fcntl.LOCK_SH)
            found = os.fstat(fd)
            if not found.st_nlink:  # whoever was the last removed it while we came
                os.close(fd)
                continue
            if found.st_uid != os.geteuid() or found.st_mode & 0o077 or found.st_size != size:
                os.close(fd)
                raise ConfigurationError(f"{self.path}: is not what this gateway would have made; remove it")
            return fd

    def _make(self, size: int, prepare: Callable[[int, mmap.mmap], None]) -> bool:
        """Make the file under another name first, so that nobody sees one that is not ready."""
        unfinished = self.path.with_name(f"{self.path.name}-{os.getpid()}-{os.urandom(4).hex()}")
        fd = os.open(unfinished, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            os.ftruncate(fd, size)
            prepare(fd, mmap.mmap(fd, size))
            with contextlib.suppress(FileExistsError):  # another worker was quicker
                os.link(unfinished, self.path)
            return True
        finally:
            unfinished.unlink(missing_ok=True)
            os.close(fd)

    def reserve(self, offset: int, size: int) -> None:
        """Have memory for this part of the file, or be told that there is none. Raises OSError."""
        os.posix_fallocate(self.fd, offset, size)

    def close(self) -> None:
        """Leave the file; whoever is the last removes it."""
        if self.fd < 0:
            return
        _remove_if_unused(self.fd, self.path)
        fcntl.flock(self.fd, fcntl.LOCK_UN)  # the mapping has a copy of the descriptor, and would keep the lock
        os.close(self.fd)
        self.fd = -1

    def __repr__(self) -> str:
        return f"<SharedFile {self.path}>"


def _boot() -> str:
    """Tells the machine's starts apart: with each, its monotonic clock begins anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _sweep(folder: Path) -> None:
    """Remove what belongs to a gateway that is gone, and is used by nobody: either alone could be said too
    early."""
    for path in folder.iterdir():
        match = _OWNED(path.name)
        if match is None or _start_of(int(match[1])) == match[2]:
            continue
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                _remove_if_unused(fd, path)
            finally:
                os.close(fd)


def _remove_if_unused(fd: int, path: Path) -> None:
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:  # else the name may be another file's by now
            path.unlink()


__all__ = ["Owner", "SharedFile", "shared_folder", "supervisor"]
