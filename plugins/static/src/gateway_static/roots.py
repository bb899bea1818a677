"""Open what lies below a directory, and nothing else, however names and links change meanwhile.

Owns the system calls: each blocks as long as the disk does, so they belong in a thread. The kernel itself keeps a
lookup below the root (openat2 with RESOLVE_BENEATH): nothing is checked first and opened later, so nobody can
change a link between the two. Where openat2 is not allowed or not known (Linux before 5.6, strict containers) the
path is walked folder by folder without following any link.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from gateway import OpenFile

log = logging.getLogger("gateway.static")

Symlinks: TypeAlias = Literal["inside", "none", "all"]

_OPENAT2 = 437  # the same on every architecture of Linux but Alpha
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _CACHED = 0x02, 0x04, 0x08, 0x20
_HERE = -100  # AT_FDCWD
_RESOLVE = {"inside": _BENEATH | _NO_MAGICLINKS, "none": _BENEATH | _NO_MAGICLINKS | _NO_SYMLINKS}
_TRIES = 16
"""EAGAIN says that a folder was moved during the lookup (openat2(2))."""

ABSENT = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EXDEV, errno.EINVAL)
)
"""What opening says where there is no file for anyone; EXDEV: it lies outside of the root."""
FORBIDDEN = frozenset((errno.EACCES, errno.EPERM))

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Tree:
    """A root that is open: what is looked up lies below this directory, even if its name is given to another."""

    __slots__ = ("_descriptor", "_resolve", "_symlinks")

    def __init__(self, descriptor: int, symlinks: Symlinks, *, has_openat2: bool) -> None:
        self._descriptor = descriptor
        self._symlinks = symlinks
        self._resolve = _RESOLVE.get(symlinks, 0) if has_openat2 else 0

    def status(self, name: str) -> os.stat_result:
        """Of what a name leads to, which is not opened for that. Raises OSError."""
        descriptor = self._open(name, os.O_PATH)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def open(self, name: str) -> OpenFile:
        """A regular file. Raises OSError: what else there may be is not even opened, for that can have effects."""
        if not stat.S_ISREG(self.status(name).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file", name)
        # It may be another one by now: a FIFO would be waited for without O_NONBLOCK.
        file = OpenFile.adopt(self._open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
        if not stat.S_ISREG(file.status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file", name)
        return file

    def names(self, folder: str) -> list[str]:
        """What a folder has, in no order. Raises OSError."""
        descriptor = self._open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def _open(self, name: str, flags: int) -> int:
        flags |= os.O_CLOEXEC
        if self._resolve:
            return openat2(self._descriptor, name or ".", flags, self._resolve)
        if self._symlinks == "all":
            return os.open(name or ".", flags, dir_fd=self._descriptor)
        return self._walk(name, flags)

    def _walk(self, name: str, flags: int) -> int:
        *folders, last = name.split("/")
        place = os.dup(self._descriptor)
        try:
            for folder in folders:
                inner = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
                os.close(place)
                place = inner
            return os.open(last or ".", flags | os.O_NOFOLLOW, dir_fd=place)
        finally:
            os.close(place)


class Root:
    """A directory whose files are served. It is opened anew for each lookup, so its name may change hands."""

    __slots__ = ("_symlinks", "has_memory", "has_openat2", "path")

    def __init__(self, path: Path, symlinks: Symlinks = "inside") -> None:
        self.path = path
        self._symlinks: Symlinks = symlinks
        self.has_openat2 = True
        self.has_memory = False
        """Whether the system can be asked for what it has in memory alone (Linux 5.12)."""

    def prepare(self) -> None:
        """See whether it is there, and what the system can do. Raises OSError."""
        descriptor = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(openat2(descriptor, ".", os.O_PATH | os.O_CLOEXEC, _BENEATH))
            self.has_memory = _can_ask_memory(descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            self.has_openat2 = False
            if self._symlinks == "inside":
                log.warning("%s: the system has no openat2, so no symbolic link is followed", self.path)
        finally:
            os.close(descriptor)

    @contextmanager
    def opened(self) -> Iterator[Tree]:
        """The directory as it is now. Raises OSError."""
        descriptor = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Tree(descriptor, self._symlinks, has_openat2=self.has_openat2)
        finally:
            os.close(descriptor)

    def surely_lacks(self, name: str) -> bool:
        """Whether the system has it in memory that nothing has this name: does not wait, so a loop may ask.

        False if there is something, or if only the disk can tell.
        """
        if not self.has_memory:
            return False
        folder = -1
        try:
            folder = openat2(
                _HERE, os.fspath(self.path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, _CACHED, tries=1
            )
            resolve = _RESOLVE.get(self._symlinks, 0) | _CACHED
            os.close(openat2(folder, name or ".", os.O_PATH | os.O_CLOEXEC, resolve, tries=1))
        except OSError as error:
            return folder >= 0 and error.errno in ABSENT
        finally:
            if folder >= 0:
                os.close(folder)
        return False

    def open(self, name: str) -> OpenFile:
        """A regular file. Raises OSError."""
        with self.opened() as tree:
            return tree.open(name)

    def __repr__(self) -> str:
        return f"<Root {self.path}>"


def _can_ask_memory(folder: int) -> bool:
    try:
        os.close(openat2(folder, ".", os.O_PATH | os.O_CLOEXEC, _BENEATH | _CACHED, tries=1))
    except OSError as error:
        return error.errno == errno.EAGAIN
    return True


def openat2(folder: int, name: str, flags: int, resolve: int, tries: int = _TRIES) -> int:
    """openat2(2), which neither Python nor libc has. Raises OSError."""
    how = _OpenHow(flags, 0, resolve)
    path = os.fsencode(name)
    number = errno.EAGAIN
    for _ in range(tries):
        descriptor: int = _libc.syscall(
            ctypes.c_long(_OPENAT2), ctypes.c_int(folder), ctypes.c_char_p(path), ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )  # fmt: skip
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number), name)
