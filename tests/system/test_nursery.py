"""The nursery: workers are forked from it, and nothing but their code is what they share."""

from __future__ import annotations

import os
import signal

import pytest

from gateway.testing import run_command, wait_for_workers, wait_until
from gateway.testing.tree import children_of, is_alive, name_of

PLUGINS = ["request-id"]


def nursery_of(site) -> int:
    (pid,) = [pid for pid in children_of(site.pid) if name_of(pid) == "gateway-nursery"]
    return pid


@pytest.fixture
def site(gateway, origin):
    return gateway(endpoints=[origin()], workers=2, plugins=PLUGINS)


def test_a_worker_that_dies_is_replaced_though_the_nursery_was_killed(site):
    nursery, workers = nursery_of(site), site.workers
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: not is_alive(nursery))
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: site.log.count("is back") == 1, within=10)
    assert len(wait_for_workers(site, 2)) == 2
    assert nursery_of(site) != nursery
    assert site.get().status == 200


def test_a_restart_begins_with_a_new_nursery(site):
    nursery, workers = nursery_of(site), site.workers
    assert site.restart().returncode == 0
    assert nursery_of(site) != nursery
    assert not is_alive(nursery)
    wait_until(lambda: not any(map(is_alive, workers)), within=10)
    assert site.get().status == 200


def test_signals_of_a_terminal_reach_the_supervisor_alone(site):
    nursery, workers = nursery_of(site), site.workers
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(nursery, number)
    assert site.get().status == 200
    assert (nursery_of(site), site.workers) == (nursery, workers)


def test_nothing_is_left_when_the_supervisor_is_killed(site):
    everyone = [site.pid, nursery_of(site), *site.workers]
    os.kill(site.pid, signal.SIGKILL)
    site.wait()
    wait_until(lambda: not any(map(is_alive, everyone)), within=10)


def test_workers_draw_different_random_numbers(site):
    # Forked processes would give the same ids in the same order if they shared the state of the generator.
    ids = [site.get().header("x-request-id") for _ in range(200)]
    assert len(set(ids)) == 200


def test_a_restart_takes_no_module_from_the_current_directory(site, tmp_path):
    (site.directory / "orjson.py").write_text("raise RuntimeError('not this one')")
    before = site.workers
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(site.directory)}
    done = run_command("restart", str(site.site_file), directory=tmp_path, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: not set(before) & set(site.workers), within=10)
    assert site.get().status == 200
