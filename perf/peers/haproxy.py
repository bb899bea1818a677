"""HAProxy as a reverse proxy over plain HTTP."""

from __future__ import annotations

from perf import tools
from perf.lab import Lab, Server, free_port
from perf.model import Contender

LOG = "log stdout format raw local0 info\n    option httplog"


def haproxy(*, endpoints: int = 1, log: bool = False) -> Contender:
    """One thread, connections to the endpoints always reused."""

    def launch(lab: Lab) -> Server:
        port = free_port()
        servers = [f"server app{n} 127.0.0.1:{p}" for n, p in enumerate(lab.origin_ports[:endpoints])]
        conf = lab.fill("haproxy.cfg", PORT=port, LOG=LOG if log else "", SERVERS="\n    ".join(servers))
        process = lab.run("haproxy", [tools.find("haproxy"), "-db", "-f", conf])
        return Server(f"http://127.0.0.1:{port}", (process,))

    return Contender("haproxy", "haproxy", launch)
