"""A plugin whose startup does not return is named, and does not keep a gateway from stopping."""

from __future__ import annotations

import signal
import subprocess

import pytest

from gateway.testing import site_text, wait_until
from gateway.testing.process import COMMAND

HOOKS = """
import asyncio, sys, time
from gateway import hookimpl

class Hangs:
    @hookimpl
    async def startup(self, app):
        print("in startup", file=sys.stderr, flush=True)
        await asyncio.sleep(1000)

class Blocks:
    @hookimpl
    def startup(self, app):
        print("in startup", file=sys.stderr, flush=True)
        time.sleep(1000)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a gateway with a plugin of the above and wait until it is in its startup: the process, and its log."""
    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def run(name: str):
        (tmp_path / "hooks.py").write_text(HOOKS)
        (tmp_path / "site.toml").write_text(site_text(["http://127.0.0.1:9"], plugins=[f"./hooks.py:{name}"]))
        log = tmp_path / "log"
        with log.open("wb") as err:
            started.append(subprocess.Popen([*COMMAND, "run", "site.toml"], cwd=tmp_path, stderr=err))
        wait_until(lambda: "in startup" in log.read_text(), within=15, message="it does not start")
        return started[-1], log.read_text

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_start_and_the_plugin_is_named(start, number):
    process, log = start("Hangs")
    process.send_signal(number)
    assert process.wait(10) == 0
    assert "stopping: not all workers are ready yet" in log()
    assert "plugin 'Hangs': its startup had not returned when the start was given up" in log()
    assert "Traceback" not in log()


def test_one_that_blocks_its_worker_is_ended_by_a_second_signal(start):
    process, log = start("Blocks")
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping: not all" in log(), within=5, message="it does not hear")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_reload_that_hangs_does_not_keep_the_gateway_from_stopping(gateway, origin):
    running = gateway(endpoints=[origin()], files={"hooks.py": HOOKS})
    running.site_file.write_text(site_text(["http://127.0.0.1:9"], plugins=["./hooks.py:Hangs"]))
    running.signal(signal.SIGHUP)
    running.wait_for_log("in startup")
    assert running.get().status == 200
    assert running.stop(within=10) == 0
    assert "plugin 'Hangs': its startup had not returned when the start was given up" in running.log
