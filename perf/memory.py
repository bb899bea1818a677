"""`python -m perf.memory`: what the gateway holds for idle connections, and whether it grows with its work.

The shipped l7-balancer, one worker. Memory is the resident size of the whole process tree, shared pages in parts.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import click
from rich.console import Console

from perf import processes, report
from perf.lab import Lab, Server
from perf.load import drive
from perf.model import Load, Plan, Unavailable
from perf.peers.gateway import gateway

KIB = 1024
MOST_KIB_IDLE = 12.0
"""An idle kept connection over the base."""
MOST_GROWTH = 0.05
"""Of the resident size, from the first tenth of the requests to their end: flat, but for noise."""
ROUND_SECONDS = 5


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--requests", default=1_000_000, show_default=True, help="How many requests have to be carried.")
@click.option("--connections", default=5_000, show_default=True, help="How many connections are kept idle.")
def main(requests: int, connections: int) -> None:
    """Measure the memory of the gateway: after so many requests, and with so many idle connections."""
    try:
        rows = list(_measure(requests, connections))
    except Unavailable as reason:
        sys.exit(f"perf: {reason}")
    report.print_table(["", "measured", "goal", ""], rows, Console())


def _measure(requests: int, connections: int) -> Iterator[list[str]]:
    plan = Plan()
    with Lab(plan) as lab:
        server = gateway(profile="l7-balancer", endpoints=2).launch(lab)
        lab.wait(server.url, "gateway")
        base = _work(server, plan, requests // 10)
        done = _work(server, plan, requests - requests // 10)
        growth = done / base - 1
        yield [f"resident after {requests // 10:,} requests", _mib(base), "", ""]
        yield [
            f"resident after {requests:,} requests",
            f"{_mib(done)} ({growth:+.1%})",
            "flat",
            _verdict(growth, MOST_GROWTH),
        ]
        with _idle(server, connections):
            each = (resident_bytes(server) - done) / connections / KIB
        yield [
            "an idle kept connection",
            f"{each:.1f} KiB",
            f"≤ {MOST_KIB_IDLE:g} KiB",
            _verdict(each, MOST_KIB_IDLE),
        ]


def _work(server: Server, plan: Plan, requests: int) -> int:
    """The resident size after at least so many further requests."""
    done = 0
    while done < requests:
        sample = drive(server, Load(), plan, ROUND_SECONDS)
        if sample.errors:
            raise Unavailable(f"{sample.errors} of {sample.requests} requests failed")
        done += sample.requests
    return resident_bytes(server)


@contextmanager
def _idle(server: Server, count: int) -> Iterator[None]:
    """So many connections that have each had one answer."""
    parts = urlsplit(server.url)
    clients = []
    try:
        for _ in range(count):
            client = socket.create_connection((parts.hostname, parts.port), timeout=10)
            clients.append(client)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            if not client.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise Unavailable("a connection that was to be kept got no answer")
        yield
    finally:
        for client in clients:
            client.close()


def resident_bytes(server: Server) -> int:
    """What the whole process tree has in memory; a page that several processes share counts once."""
    return sum(_resident(pid) for process in server.processes for pid in processes.tree(process.pid))


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            lines = [line.split() for line in rollup if line.startswith("Pss:")]
    except OSError:
        return 0
    return int(lines[0][1]) * KIB if lines else 0


def _mib(count: float) -> str:
    return f"{count / KIB / KIB:.1f} MiB"


def _verdict(figure: float, most: float) -> str:
    return report.MET if figure <= most else report.MISSED


if __name__ == "__main__":
    main()
