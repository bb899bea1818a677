"""http-proxy-3, the Node.js library, as a reverse proxy. Optional: `npm install -g http-proxy-3`."""

from __future__ import annotations

from pathlib import Path

from perf import tools
from perf.lab import HERE, Lab, Server, free_port
from perf.model import Contender


def http_proxy() -> Contender:
    """One Node process with a keep-alive agent."""

    def launch(lab: Lab) -> Server:
        node, modules = tools.find("node"), tools.node_modules()
        port = free_port()
        argv: list[str | Path] = [
            node,
            HERE / "peers" / "http-proxy.cjs",
            str(port),
            f"http://{lab.origins[0]}",
        ]
        process = lab.run("http-proxy-3", argv, env={"NODE_PATH": str(modules), "NODE_ENV": "production"})
        return Server(f"http://127.0.0.1:{port}", (process,))

    return Contender("http-proxy-3", "http-proxy-3", launch)
