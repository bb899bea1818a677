"""Redis and Memcached as child processes: real stores, that a test can kill, freeze and start again."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
from pathlib import Path

from gateway.testing.programs import require_program
from gateway.testing.waiting import wait_until


class StoreServer:
    """A store's server on a port of its own, which it keeps when it is started again."""

    def __init__(self, kind: str, directory: Path) -> None:
        """`kind` is `redis` or `memcached`. Skips the test if the program is not installed."""
        self.port = _lasting_port()
        self.url = f"{kind}://127.0.0.1:{self.port}"
        self._command = _command(kind, self.port)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it can be reached."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._is_there, within=10, message=f"{self._command[0]} does not start")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it accept connections and not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """What it answers to a line of these words, in its own protocol: one piece of it."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65536)

    def asked(self, command: str) -> int:
        """How often a Redis was given a command, in lower case."""
        counted = re.search(rf"cmdstat_{command}:calls=(\d+)".encode(), self.ask("INFO", "commandstats"))
        return int(counted[1]) if counted else 0

    def _is_there(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            return bool(self.ask("PING"))
        except OSError:
            return False

    def __repr__(self) -> str:
        return f"<StoreServer {self.url}>"


def _command(kind: str, port: int) -> list[str]:
    if kind == "redis":
        program = require_program("redis-server")
        return [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return [require_program("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "nobody"]


def _lasting_port() -> int:
    """A free port that stays free while its server is down: from below those that the system gives away."""
    given_away = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.Random(os.getpid()).sample(range(given_away // 2, given_away), 100)
    for port in candidates:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"none of 100 ports is free: {candidates}")
