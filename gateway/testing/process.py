"""Run a real gateway as a child process and talk to it.

Owns one `gateway run` and its directory: the site file, what it wrote, its end. Knows the command
line's promises (`listening on`, `ready`, signals, exit codes) and nothing of the inside.
"""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from gateway.testing import tree
from gateway.testing.client import Client
from gateway.testing.waiting import wait_until
from gateway.testing.wire import Response

COMMAND = (sys.executable, "-m", "gateway")
LISTENING = re.compile(r"^gateway: listening on (\w+)://(?:\[([^]]+)\]|([^:/\s]+)):(\d+)", re.MULTILINE)
LISTENING_UNIX = re.compile(r"^gateway: listening on .*?unix:(?://)?(/\S+)", re.MULTILINE)


class Listening(NamedTuple):
    """One line of `gateway: listening on …`."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """As a client would write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class GatewayDied(AssertionError):
    """The gateway ended, or was not ready in time; the message holds its log."""


class GatewayProcess:
    """A running gateway. `site` is the text of a site file, written to `directory/site.toml`."""

    def __init__(
        self,
        site: str,
        directory: Path,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        ready_within: float = 20.0,
    ) -> None:
        """Start and wait until it is ready.

        `files` are written beside the site file first, by name; `under` is a command that runs the
        command, such as `prlimit`.
        """
        self.directory = directory
        for name, text in (files or {}).items():
            (directory / name).write_text(text)
        self.site_file = directory / "site.toml"
        self.site_file.write_text(site)
        own = {"PYTHONUNBUFFERED": "1", "XDG_RUNTIME_DIR": str(directory)}
        self._environment = {**os.environ, **own, **(environment or {})}
        self._log_file = directory / "stderr.log"
        self._output_file = directory / "stdout.log"
        command = [*under, *COMMAND, "run", str(self.site_file), *arguments]
        with self._log_file.open("wb") as log, self._output_file.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.wait_for_log("gateway: ready", within=ready_within)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers, oldest first."""
        return [pid for pid in tree.children_of(self.pid) if tree.name_of(pid) == "gateway-worker"]

    @property
    def pids(self) -> list[int]:
        """Supervisor, workers and whatever else descends from it."""
        return tree.tree_of(self.pid)

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the whole process tree."""
        return sum(map(tree.rss_bytes, self.pids))

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self._log_file.read_text(errors="replace")

    @property
    def output(self) -> str:
        """What it wrote to stdout so far."""
        return self._output_file.read_text(errors="replace")

    @property
    def listening(self) -> list[Listening]:
        """Its TCP listeners, in the order of the log."""
        return [
            Listening(scheme, six or four, int(port)) for scheme, six, four, port in LISTENING.findall(self.log)
        ]

    @property
    def unix_paths(self) -> list[str]:
        """Its Unix socket listeners."""
        return LISTENING_UNIX.findall(self.log)

    @property
    def url(self) -> str:
        """The first listener."""
        return self.listening[0].url

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.listening[0].port

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first listener."""
        return self.listening[0].host, self.port

    @property
    def is_running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process.poll() is None

    def connect(
        self,
        listener: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        timeout: float = 10.0,
        source: str | None = None,
        receive_buffer: int | None = None,
    ) -> Client:
        """A raw connection to a TCP listener; see `Client`."""
        chosen = self.listening[listener]
        return Client(
            (chosen.host, chosen.port),
            tls=tls,
            server_name=server_name,
            timeout=timeout,
            source=source,
            receive_buffer=receive_buffer,
        )

    def request(self, data: bytes, *, timeout: float = 10.0) -> Response:
        """Send literal bytes over a new connection and read one response."""
        with self.connect(timeout=timeout) as client:
            return client.request(data)

    def get(
        self,
        target: str = "/",
        *fields: bytes,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Response:
        """A plain GET over a new connection; `fields` are whole header lines as they go over the wire."""
        lines = [f"{name}: {value}".encode("latin-1") for name, value in (headers or {}).items()]
        head = [f"GET {target} HTTP/1.1".encode("latin-1"), b"Host: example.com", *lines, *fields]
        return self.request(b"\r\n".join(head) + b"\r\n\r\n", timeout=timeout)

    def command(self, *arguments: str, within: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run another `gateway` command in the same directory and environment."""
        return run_command(*arguments, directory=self.directory, environment=self._environment, within=within)

    def reload(self, site: str | None = None) -> subprocess.CompletedProcess[str]:
        """Write the new site file, if there is one, and run `gateway reload`."""
        if site is not None:
            self.site_file.write_text(site)
        return self.command("reload", str(self.site_file))

    def restart(self, within: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `gateway restart`: workers are replaced one by one."""
        return self.command("restart", str(self.site_file), within=within)

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def wait_for_log(self, text: str, *, within: float = 10.0, times: int = 1) -> None:
        """Wait until `text` was logged that often; GatewayDied if the gateway ends before."""
        deadline = time.monotonic() + within
        while self.log.count(text) < times:
            if not self.is_running and self.log.count(text) < times:
                raise GatewayDied(f"gateway ended with {self._process.returncode}:\n{self.log}")
            if time.monotonic() > deadline:
                raise GatewayDied(f"no {text!r} within {within:g} s:\n{self.log}")
            time.sleep(0.01)

    def wait(self, within: float = 10.0) -> int:
        """Wait for its end; the exit code."""
        return self._process.wait(within)

    def stop(self, within: float = 15.0) -> int:
        """SIGTERM, wait, and kill what is left after the deadline; the exit code (-9 if it had to be killed)."""
        if self.is_running:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                pass
        return self.kill()

    def end(self) -> int:
        """Stop without patience for what is in flight (a second SIGTERM ends a drain); the exit code."""
        if self.is_running:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        return self.stop()

    def kill(self) -> int:
        """Kill whatever is left of the process group, at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self._process.wait(5)

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def run_command(
    *arguments: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
    within: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Run `gateway …` to its end and return what it wrote and its exit code."""
    return subprocess.run(
        [*under, *COMMAND, *arguments],
        cwd=directory,
        env=dict(environment) if environment is not None else None,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def wait_for_workers(process: GatewayProcess, count: int, within: float = 10.0) -> list[int]:
    """Wait until exactly so many workers live."""
    wait_until(lambda: len(process.workers) == count, within=within, message=f"not {count} workers")
    return process.workers
