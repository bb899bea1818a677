"""http-proxy-3, the Node.js library, as a reverse proxy. Optional: `npm install -g http-proxy-3`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from perf import tools
from perf.lab import HERE, Lab, Server, free_port
from perf.model import Contender, Unavailable


def http_proxy() -> Contender:
    """One Node process with a keep-alive agent."""

    def launch(lab: Lab) -> Server:
        node, modules = tools.find("node"), _global_modules()
        port = free_port()
        argv: list[str | Path] = [
            node,
            HERE / "peers" / "http-proxy.cjs",
            str(port),
            f"http://127.0.0.1:{lab.origin_ports[0]}",
        ]
        process = lab.run("http-proxy-3", argv, env={"NODE_PATH": modules, "NODE_ENV": "production"})
        return Server(f"http://127.0.0.1:{port}", (process,))

    return Contender("http-proxy-3", "http-proxy-3", launch)


def _global_modules() -> str:
    missing = Unavailable("http-proxy-3 is not installed (npm install -g http-proxy-3)")
    if not (npm := shutil.which("npm")):
        raise missing
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, timeout=20, check=False)
    modules = root.stdout.strip()
    if not modules or not (HERE / modules / "http-proxy-3").is_dir():
        raise missing
    return modules
