"""Where workers are born: a process that has read the gateway's code once, and forks.

Owns the making of worker processes. One that is forked imports nothing again and shares the memory of what was
imported, so that starting many costs little more than starting one. `Nursery.renew` reads the code anew, which is
what a rolling restart is for.

Processes are forked twice: the supervisor adopts what the first fork leaves behind, and so is the parent of its
workers, sees them end, and is not confused with a nursery that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from gateway.errors import ConfigurationError

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphans among our descendants become our children."""

MAX_DESCRIPTORS = 250
"""Linux passes no more than 253 over a socket at once (SCM_MAX_FD)."""

_PID_BYTES = 8
ANSWER_SECONDS = 10.0
START_SECONDS = 60.0

log = logging.getLogger("gateway.supervisor")


class Nursery:
    """A nursery as the supervisor sees it. To be made before there is an event loop or a thread."""

    def __init__(self) -> None:
        _adopt_orphans()
        self._ours, theirs = socket.socketpair()
        self._asking = asyncio.Lock()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._ours.close()
            serve(theirs)
        theirs.close()
        self._ours.setblocking(False)

    async def bear(self, descriptors: list[int]) -> int:
        """A new worker's process id; it gets the first descriptor as its end of the bus, the others as listeners.

        Raises ConfigurationError if the system gives no further process.
        """
        if len(descriptors) > MAX_DESCRIPTORS:
            raise ConfigurationError(f"{len(descriptors) - 1} listeners are more than a worker can be given")
        async with self._asking:
            pid = await self._ask(descriptors)
            if not pid:  # the nursery is gone, or hangs
                log.warning("the process that workers are forked from is gone; another one is started")
                await self._begin_anew()
                pid = await self._ask(descriptors)
        if pid <= 0:
            raise ConfigurationError(f"no worker can be started: {os.strerror(-pid) if pid else 'no answer'}")
        return pid

    async def renew(self) -> None:
        """Have workers from now on run the code as it is now on disk. Raises ConfigurationError if it is broken."""
        async with self._asking:
            await self._begin_anew()

    async def _ask(self, descriptors: list[int]) -> int:
        """The process id, a negative error number, or 0 if there is no answer."""
        try:
            socket.send_fds(self._ours, [b"!"], descriptors)
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await asyncio.get_running_loop().sock_recv(self._ours, _PID_BYTES)
        except (OSError, TimeoutError):
            return 0
        return int.from_bytes(answer, sys.byteorder, signed=True)

    async def _begin_anew(self) -> None:
        """Have another nursery in the place of this one, once it has read its code."""
        ours, pid = _start_anew()
        try:
            async with asyncio.timeout(START_SECONDS):
                is_ready = await asyncio.get_running_loop().sock_recv(ours, 1)
        except (OSError, TimeoutError):
            is_ready = b""
        if not is_ready:
            _end(ours, pid)
            raise ConfigurationError("the code of the gateway cannot be loaded; what is wrong stands above")
        self.close()
        self._ours, self._pid = ours, pid

    def close(self) -> None:
        """End the nursery; its workers go on."""
        _end(self._ours, self._pid)
        self._pid = 0


def _start_anew() -> tuple[socket.socket, int]:
    """A nursery that reads its code from disk: our end, and its process id. Raises ConfigurationError."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        # -P: no module is taken from the current directory, just as with the command `gateway`.
        command = [sys.executable, "-P", "-m", "gateway.process.nursery", str(theirs.fileno())]
        try:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        except OSError as error:
            ours.close()
            raise ConfigurationError(f"no process can be started with {sys.executable}: {error.strerror}") from None
    process.returncode = 0  # it is we who wait for it, in `_end`
    return ours, process.pid


def _end(end: socket.socket, pid: int) -> None:
    end.close()
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _adopt_orphans() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def serve(end: socket.socket, *, says_ready: bool = False) -> NoReturn:
    """Be the nursery: fork a worker for each question, until the supervisor is gone."""
    # Imported before any worker is born, so that they all share it.
    from gateway.process import worker

    name_process("gateway-nursery")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to the whole group; the supervisor decides
    gc.collect()
    gc.freeze()  # what is never looked at is never copied
    try:
        if says_ready:
            end.sendall(b"+")
        while True:
            question, descriptors, _, _ = socket.recv_fds(end, 1, MAX_DESCRIPTORS)
            if not question:
                break
            pid = _fork_twice()
            if pid == 0:
                end.close()
                name_process("gateway-worker")
                worker.main(*descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            end.sendall(pid.to_bytes(_PID_BYTES, sys.byteorder, signed=True))
    except OSError:
        pass
    finally:
        os._exit(0)


def _fork_twice() -> int:
    """0 in a grandchild, whose parent is gone; its process id in ours, or an error number as a negative one."""
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        return -(error.errno or 1)
    if child:
        os.close(writing)
        os.waitpid(child, 0)
        said = os.read(reading, _PID_BYTES)
        os.close(reading)
        return int.from_bytes(said, sys.byteorder, signed=True)
    os.close(reading)
    try:
        pid = os.fork()
    except OSError as error:
        pid = -(error.errno or 1)
    if pid:
        os.write(writing, pid.to_bytes(_PID_BYTES, sys.byteorder, signed=True))
        os._exit(0)
    os.close(writing)
    return 0


def name_process(name: str) -> None:
    """What `ps -o comm` and `top` call this process; at most 15 characters."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), says_ready=True)
