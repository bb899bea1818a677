"""One wrk run against one server, with the CPU time that the server used meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace

from perf import tools
from perf.lab import HERE, Server, get
from perf.model import Load, Plan, Sample, Unavailable

GRACE_SECONDS = 20
"""How much longer than asked wrk may take before it is given up."""


def with_sessions(server: Server, load: Load) -> Load:
    """The load with the cookies that a server gives; where it gives none, clients bring their own."""
    return replace(load, cookies=tuple(_cookie(server, load, number) for number in range(load.sessions)))


def _cookie(server: Server, load: Load, number: int) -> str:
    response, _ = get(server.url, load.path, load.headers)
    return response.headers.get("set-cookie", f"sid={number}").partition(";")[0]


def drive(server: Server, load: Load, plan: Plan, seconds: int) -> Sample:
    """Send the load for `seconds`. Raises Unavailable when wrk has nothing to tell."""
    argv = [str(tools.find("wrk")), "-t1", f"-c{plan.connections}", f"-d{seconds}s", "--timeout", "10s"]
    argv += ["-s", str(HERE / "load.lua"), *(word for line in load.headers for word in ("-H", line))]
    argv += [server.url + load.path, *(("--", *load.cookies) if load.cookies else ())]
    before = server.cpu_ns()
    output = _run_on_core(argv, plan.load_core, seconds + GRACE_SECONDS)
    spent = server.cpu_ns() - before
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return Sample(cpu_ns=spent, **json.loads(line.removeprefix("RESULT ")))
    raise Unavailable("wrk gave no result", output.strip().split("\n")[-1])


def _run_on_core(argv: list[str], core: int, timeout_seconds: int) -> str:
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    except subprocess.TimeoutExpired:
        return "wrk did not end in time"
    finally:
        os.sched_setaffinity(0, ours)
    return done.stdout + done.stderr
