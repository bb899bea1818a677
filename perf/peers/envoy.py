"""Envoy as a reverse proxy over plain HTTP."""

from __future__ import annotations

import json
from pathlib import Path

from perf import tools
from perf.lab import Lab, Server, free_port
from perf.model import Contender


def envoy(*, endpoints: int = 1, log: bool = False) -> Contender:
    """One worker thread, no admin port, no tracing and no request id of its own."""

    def launch(lab: Lab) -> Server:
        port = free_port()
        conf = lab.fill(
            "envoy.json",
            PORT=port,
            ENDPOINTS=json.dumps([_endpoint(p) for p in lab.origin_ports[:endpoints]]),
            ACCESS_LOG=json.dumps([_access_log(str(lab.dir / "envoy.access"))] if log else []),
        )
        argv: list[str | Path] = [
            tools.find("envoy"),
            "-c",
            conf,
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
        ]
        process = lab.run("envoy", argv)
        return Server(f"http://127.0.0.1:{port}", (process,))

    return Contender("envoy", "envoy", launch)


def _endpoint(port: int) -> dict[str, object]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"endpoint": {"address": address}}


def _access_log(path: str) -> dict[str, object]:
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return {"name": "envoy.access_loggers.file", "typed_config": {"@type": kind, "path": path}}
