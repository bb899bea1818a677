"""A worker that hangs is told of, waited for by nobody, and replaced."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from gateway.testing import site_text, wait_until
from gateway.testing.tree import is_alive

LOOP = """
from gateway import Response, hookimpl


class Loops:
    @hookimpl
    def on_request(self, exchange):
        while exchange.request.path == "/loop":
            pass
        return Response(200, body="ok")
"""

ONCE = """
import os, sys
from gateway import hookimpl


class Once:
    @hookimpl
    def startup(self, app):
        if app.once("job"):
            print("job done by", os.getpid(), file=sys.stderr, flush=True)
"""

SLOW = """
import time
from gateway import hookimpl


class Slow:
    @hookimpl
    def startup(self, app):
        time.sleep(3.5)
"""


def pid_of(site, worker: int) -> int:
    return int(re.search(rf"^\W*{worker}\W+(\d+)", site.command("status").stdout, re.MULTILINE)[1])


def hang(site, worker: int = 0) -> int:
    """Stop a worker as it may be stopped by itself; its process id."""
    pid = pid_of(site, worker)
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_a_worker_that_hangs_is_replaced_and_with_it_who_does_what_one_does_for_all(gateway, origin):
    plugins = {"plugins": ["./once.py:Once"], "files": {"once.py": ONCE}}
    site = gateway(endpoints=[origin()], workers=2, worker_timeout="2s", **plugins)
    pid = hang(site)
    site.wait_for_log(f"worker 0 (pid {pid}) has not answered for 2 s, and is killed")
    site.wait_for_log(f"worker 0 (pid {pid}) died: killed, for it had not answered for 2 s")
    site.wait_for_log("worker 0 is back")
    assert site.log.count("job done by") == 2
    assert not is_alive(pid)
    assert "worker 0: killed, for it had not answered for 2 s" in site.command("status").stdout
    assert site.get().status == 200


def test_one_in_which_a_plugin_never_returns_is_replaced(gateway, origin):
    site = gateway(endpoints=[origin()], worker_timeout="2s", plugins=["./loop.py:Loops"], files={"loop.py": LOOP})
    (pid,) = site.workers
    with site.connect() as client:
        client.send(b"GET /loop HTTP/1.1\r\nHost: a.example\r\n\r\n")
        site.wait_for_log(f"worker 0 (pid {pid}) has not answered for 2 s, and is killed")
        assert re.search(r"stood still for .*loop\.py:\d+ in on_request", site.log)
    site.wait_for_log("worker 0 is back")
    assert site.get().body == b"ok"


def test_a_supervisor_that_was_stopped_itself_kills_nobody(gateway, origin):
    site = gateway(endpoints=[origin()], worker_timeout="2s")
    workers = site.workers
    site.signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 3)
    site.signal(signal.SIGCONT)
    assert site.reload().returncode == 0
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1.5)  # time for another look
    assert site.workers == workers
    assert "has not answered" not in site.log


def test_a_startup_that_blocks_for_long_is_no_hanging_worker(gateway, origin):
    slow = {"plugins": ["./slow.py:Slow"], "files": {"slow.py": SLOW}}
    site = gateway(endpoints=[origin()], worker_timeout="2s", **slow)
    workers = site.workers
    assert site.reload(site.site_file.read_text() + '\nlog_level = "debug"\n').returncode == 0
    assert site.workers == workers
    assert "not answered" not in site.log


def test_operators_hear_from_the_others_and_of_the_one_that_hangs(gateway, origin):
    app = origin()
    site = gateway(endpoints=[app], workers=2, worker_timeout=0)
    name = app.url.removeprefix("http://")
    pid = hang(site)
    told = f"gateway: warning: worker 0 (pid {pid}) does not answer\n"
    for asked in (
        ("endpoints",),
        ("metrics",),
        ("drain", "app", name),
        ("explain", "site.toml", "GET /", "--live"),
    ):
        began = time.monotonic()
        done = site.command(*asked)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ("" if asked[0] == "explain" else told)
        assert time.monotonic() - began < 10
        assert name in done.stdout
    site.wait_for_log(
        f"worker 0 (pid {pid}) has not answered for 5 s; it is left alone, as worker_timeout is 0"
        "; what it does for all (health checks, discovery) rests"
    )
    assert re.search(rf"\b{pid}\b.*does not answer for \d+ s", site.command("status").stdout)
    assert site.command("endpoints").stderr == told

    os.kill(pid, signal.SIGCONT)
    site.wait_for_log(f"worker 0 (pid {pid}) answers again, after")
    wait_until(lambda: "does not answer" not in site.command("status").stdout)
    done = site.command("endpoints")
    assert (done.returncode, done.stderr) == (0, "")
    assert "draining" in done.stdout


def test_it_is_an_error_if_no_worker_answers(gateway, origin):
    site = gateway(endpoints=[origin()], worker_timeout=0)
    pid = hang(site)
    for asked in (("endpoints",), ("metrics",), ("explain", "site.toml", "GET /", "--live"), ("purge", "--all")):
        done = site.command(*asked, within=10)
        assert (done.returncode, done.stderr) == (2, f"gateway: worker 0 (pid {pid}) does not answer\n")


def test_a_plugins_command_that_not_all_have_carried_out_is_an_error(gateway, origin):
    site = gateway(endpoints=[origin()], workers=2, worker_timeout=0, plugins=["cache"])
    pid = hang(site, 1)
    done = site.command("purge", "--all")
    assert done.returncode == 2
    assert f"worker 1 (pid {pid}) does not answer; the other workers have carried out 'purge'" in done.stderr


def test_questions_are_answered_while_a_reload_waits_for_a_plugin(gateway, origin):
    hooks = """
import asyncio, sys
from gateway import hookimpl

class Waits:
    @hookimpl
    async def startup(self, app):
        print("in startup", file=sys.stderr, flush=True)
        await asyncio.sleep(1000)
"""
    app = origin()
    site = gateway(endpoints=[app], files={"hooks.py": hooks})
    site.site_file.write_text(site_text([app], plugins=["./hooks.py:Waits"]))
    site.signal(signal.SIGHUP)
    site.wait_for_log("in startup")
    name = app.url.removeprefix("http://")
    assert site.command("drain", "app", name).returncode == 0
    done = site.command("endpoints")
    assert (done.returncode, done.stderr) == (0, "")
    assert "draining" in done.stdout


@pytest.mark.parametrize("is_known", [False, True])
def test_a_reload_is_refused_and_a_restart_replaces_the_one_that_hangs(gateway, origin, is_known):
    old, new = origin(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"), origin()
    site = gateway(endpoints=[old], workers=2, drain_timeout="60s", worker_timeout="50s")
    pid = hang(site)
    if is_known:
        site.wait_for_log(f"worker 0 (pid {pid}) has not answered for 5 s; after 50 s it is killed")
    began = time.monotonic()
    done = site.reload(site_text([new], workers=2, drain_timeout="60s", worker_timeout="50s"))
    assert time.monotonic() - began < 10
    assert done.returncode == 2
    assert f"worker 0 (pid {pid}) does not answer; the old configuration stays in force" in done.stderr
    assert "the last reload failed" in site.command("status").stdout
    done = site.restart()
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: not is_alive(pid), within=15)
    assert f"worker 0 (pid {pid}) is to leave, but does not answer, and is killed" in site.log
    wait_until(lambda: len(site.workers) == 2)
    assert site.get().body == b"ok"


def test_one_that_hangs_keeps_a_gateway_from_stopping_for_a_few_seconds_only(gateway, origin):
    site = gateway(endpoints=[origin()], workers=2, drain_timeout="60s", worker_timeout=0)
    pid = hang(site)
    site.wait_for_log("has not answered for 5 s")
    site.signal(signal.SIGTERM)
    assert site.wait(within=10) == 0
    assert not is_alive(pid)
