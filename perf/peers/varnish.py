"""Varnish as a cache in front of one endpoint, in memory."""

from __future__ import annotations

from perf import tools
from perf.lab import Lab, Server, free_port
from perf.model import Contender


def varnish() -> Contender:
    """As it comes, but for one thread pool, since it has one core, and for its jail, which cannot read the lab's
    files. It logs to shared memory, as always."""

    def launch(lab: Lab) -> Server:
        port = free_port()
        host, _, origin_port = lab.origins[0].rpartition(":")
        conf = lab.fill("varnish.vcl", HOST=host, PORT=origin_port)
        # fmt: off
        argv = [
            str(tools.find("varnishd")), "-F", "-j", "none", "-a", f"127.0.0.1:{port}", "-f", str(conf),
            "-s", "malloc,64m", "-n", str(lab.dir / f"varnish-{port}"), "-p", "thread_pools=1",
        ]
        # fmt: on
        process = lab.run(f"varnish-{port}", argv)
        return Server(f"http://127.0.0.1:{port}", (process,))

    return Contender("varnish", "varnishd", launch)
