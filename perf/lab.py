"""The bench that contenders are put on: a temporary directory, ports, a certificate, and the origin.

Owns everything that is started and stops it all. Does not measure.
"""

from __future__ import annotations

import gzip
import http.client
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perf import processes, texts, tools
from perf.model import Check, Plan, Unavailable
from perf.processes import Process

HERE = Path(__file__).parent
READY_SECONDS = 20.0
SMALL_BODY = 132
TEXT_BODY = 32 * 1024
LARGE_BODY = 1024 * 1024
SMALL_FILE = 2 * 1024
LARGE_FILE = LARGE_BODY
"""So that the scenario `large` tells what the same bytes cost from an endpoint."""
MOST_ENDPOINTS = 100


@dataclass(frozen=True, slots=True)
class Server:
    """A contender that runs: where it listens, and every process that it is made of."""

    url: str
    processes: tuple[Process, ...]

    def cpu_ns(self) -> int:
        return processes.cpu_ns(process.pid for process in self.processes)


class Lab:
    """A context: on the way in the origin starts, on the way out all that was started ends."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dir = Path(tempfile.mkdtemp(prefix="gateway-perf-"))
        port, other = free_port(), free_port()
        more = [f"127.0.0.{number}:{port}" for number in range(2, MOST_ENDPOINTS)]
        self.origins = (f"127.0.0.1:{port}", f"127.0.0.1:{other}", *more)
        """Addresses of the same origin: `/large` is of 1 MiB, `/text` is worth compressing, all else is small."""
        self.files = self.dir / "files"
        """A folder for contenders to serve: `/assets/small.css` and `/assets/large.bin`, which the origin lacks."""
        self._started: list[Process] = []

    def __enter__(self) -> Lab:
        try:
            self._start_origin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            processes.stop(process)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _start_origin(self) -> None:
        (self.dir / "large").write_bytes(os.urandom(1024) * (LARGE_BODY // 1024))
        (self.dir / "text").write_bytes(texts.answer(TEXT_BODY))
        assets = self.files / "assets"
        assets.mkdir(parents=True)
        (assets / "small.css").write_bytes(texts.answer(SMALL_FILE))
        (assets / "large.bin").write_bytes(os.urandom(1024) * (LARGE_FILE // 1024))
        conf = self.fill(
            "origin.conf",
            USER=user_directive(),
            LISTEN="\n        ".join(f"listen {address} backlog=4096;" for address in self.origins),
            BODY="x" * SMALL_BODY,
        )
        self.run("origin", nginx_argv(self, conf), core=self.plan.load_core)
        self.wait(f"http://{self.origins[0]}", "origin")

    def run(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        core: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a program, on the proxy's core unless told otherwise; it is stopped when the lab closes."""
        core = self.plan.proxy_core if core is None else core
        cwd = self.dir / f"{name}.dir"
        cwd.mkdir(exist_ok=True)
        process = processes.start(argv, core=core, log=self.dir / f"{name}.log", cwd=cwd, env=env)
        self._started.append(process)
        return process

    def wait(self, url: str, name: str, check: Check | None = None) -> None:
        """Until it answers as it should. Raises Unavailable when it ends, or does not within the deadline."""
        deadline = time.monotonic() + READY_SECONDS
        process = self._started[-1]
        answer = "no answer"
        while time.monotonic() < deadline:
            if not process.is_running:
                raise Unavailable(f"{name} did not start", process.last_words())
            try:
                answer = mismatch(url, check or Check())
                if not answer:
                    return
            except (OSError, http.client.HTTPException) as error:
                answer = type(error).__name__
            time.sleep(0.05)
        raise Unavailable(f"{name} did not get ready: {answer}", process.last_words())

    def fill(self, template: str, **values: str | int) -> Path:
        """A file of perf/peers with its `@NAME@` places filled in, written into the lab."""
        text = (HERE / "peers" / template).read_text()
        for name, value in {**values, "DIR": str(self.dir)}.items():
            text = text.replace(f"@{name}@", str(value))
        path = self.dir / f"{len(self._started)}-{template}"
        path.write_text(text)
        return path

    def certificate(self) -> tuple[Path, Path]:
        """A self-signed certificate and its key (P-256), made once a lab."""
        cert, key = self.dir / "cert.pem", self.dir / "key.pem"
        if not cert.exists():
            subprocess.run(
                [
                    *(
                        tools.find("openssl"),
                        "req",
                        "-x509",
                        "-nodes",
                        "-days",
                        "2",
                        "-subj",
                        "/CN=localhost",
                    ),
                    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                    *("-keyout", key, "-out", cert),
                ],
                check=True,
                capture_output=True,
                timeout=20,
            )
        return cert, key


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def mismatch(url: str, check: Check) -> str:
    """What is wrong with the answer to one request; empty when it is as the check says."""
    response, body = get(url, check.path, check.headers)
    if response.status != check.status:
        return f"status {response.status} where {check.status} was expected"
    coding = response.headers.get("content-encoding", "")
    if coding != check.coding:
        return f"content coding {coding or 'none'} where {check.coding or 'none'} was expected"
    try:
        body = decoded(body, coding)
    except ValueError as error:
        return str(error)
    if check.body_bytes is not None and len(body) != check.body_bytes:
        return f"{len(body)} bytes where {check.body_bytes} were expected"
    return ""


def decoded(body: bytes, coding: str) -> bytes:
    """A whole body without its coding. Raises ValueError when it is not in that coding, or not whole."""
    if not coding:
        return body
    zstd = _zstd()
    try:
        return gzip.decompress(body) if coding == "gzip" else bytes(zstd.decompress(body))
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        raise ValueError(f"the body is not {coding}: {error}") from error


def _zstd() -> Any:
    """From 3.14 on Python has it; before, the package that gateway-compression needs, too. Raises Unavailable."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise Unavailable("backports.zstd is not installed (pip install backports.zstd)")


def get(url: str, path: str, headers: Sequence[str]) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to one request over a connection of its own."""
    parts = urlsplit(url)
    address = parts.hostname or "", parts.port
    if parts.scheme == "https":
        # The certificate is one that we made a moment ago: nothing to verify.
        context = ssl._create_unverified_context()
        client: http.client.HTTPConnection = http.client.HTTPSConnection(*address, timeout=5, context=context)
    else:
        client = http.client.HTTPConnection(*address, timeout=5)
    try:
        client.request("GET", path, headers=dict(line.split(": ", 1) for line in headers))
        response = client.getresponse()
        return response, response.read()
    finally:
        client.close()


def nginx_argv(lab: Lab, conf: Path) -> list[str | Path]:
    """nginx with nothing of the system's configuration, writing into the lab only."""
    return [tools.find("nginx"), "-e", "stderr", "-p", lab.dir, "-c", conf]


def user_directive() -> str:
    """Run as root, nginx gives its workers another user, who could not read the lab."""
    return f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
