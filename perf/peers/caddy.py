"""Caddy as a reverse proxy over plain HTTP."""

from __future__ import annotations

from pathlib import Path

from perf import tools
from perf.lab import Lab, Server, free_port
from perf.model import Contender

LOG = "log {{\n\t\toutput file {path} {{\n\t\t\troll_disabled\n\t\t}}\n\t}}"


REQUEST_ID = "request_header X-Request-ID {http.request.uuid}\n\theader X-Request-ID {http.request.uuid}"


CHECKS = "health_uri /\n\t\thealth_interval 1s"

FILES = "handle /assets/* {{\n\t\troot * {root}\n\t\tfile_server\n\t}}"


def caddy(
    *, endpoints: int = 1, balancer: bool = False, sessions: bool = False, coding: str = "", files: bool = False
) -> Contender:
    """One core; it keeps as many upstream connections as there are clients. `files` are the lab's."""

    def launch(lab: Lab) -> Server:
        port = free_port()
        conf = lab.fill(
            "Caddyfile",
            PORT=port,
            LOG=LOG.format(path=lab.dir / "caddy.access") if balancer else "",
            REQUEST_ID=REQUEST_ID if balancer else "",
            ENCODE=f"encode {coding}" if coding else "",
            FILES=FILES.format(root=lab.files) if files else "",
            BALANCE="cookie lb a-secret" if sessions else "least_conn" if balancer else "round_robin",
            CHECKS=CHECKS if sessions else "",
            RETRIES="lb_retries 2" if balancer else "",
            ENDPOINTS=" ".join(lab.origins[:endpoints]),
        )
        env = {
            "GOMAXPROCS": "1",
            "HOME": str(lab.dir),
            "XDG_DATA_HOME": str(lab.dir),
            "XDG_CONFIG_HOME": str(lab.dir),
        }
        argv: list[str | Path] = [tools.find("caddy"), "run", "--config", conf, "--adapter", "caddyfile"]
        process = lab.run("caddy", argv, env=env)
        return Server(f"http://127.0.0.1:{port}", (process,))

    return Contender("caddy", "caddy", launch)
