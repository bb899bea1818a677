"""A change that is refused or disturbed leaves nothing behind, and one that mends what is broken is taken."""

from __future__ import annotations

import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.testing import run_command, site_text, wait_for_workers, wait_until
from gateway.testing.tree import is_alive

UNSURE = """
from pathlib import Path

from gateway import hookimpl


class Unsure:
    @hookimpl
    def startup(self, app):
        if (Path(__file__).parent / "fail").exists():
            raise RuntimeError("it does not want to")
"""


def unsure(gateway, origin):
    return gateway(endpoints=[origin()], workers=2, plugins=["./unsure.py:Unsure"], files={"unsure.py": UNSURE})


def test_a_reload_mends_what_keeps_a_dead_worker_from_coming_back(gateway, origin):
    site = unsure(gateway, origin)
    (site.directory / "fail").touch()
    dead = site.workers[0]
    os.kill(dead, signal.SIGKILL)
    reason = "failed in startup: unsure.py line 11: RuntimeError: it does not want to"
    site.wait_for_log(f"does not start: {site.site_file}: plugins.Unsure: {reason}")
    shown = " ".join(re.findall(r"[^\s│]+", site.command("status").stdout))
    assert f"0 {dead} dead does not start: {site.site_file}: plugins.Unsure: failed in startup" in shown
    listed = site.command("endpoints", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    done = site.reload(site.site_file.read_text().replace('"./unsure.py:Unsure"', ""))
    assert (done.returncode, done.stderr) == (0, "")
    assert "in force in 1 workers" in done.stdout
    site.wait_for_log("is back", within=15)
    assert dead not in wait_for_workers(site, 2)
    assert site.get().status == 200


def test_a_refused_reload_leaves_no_second_listener_to_the_bus(gateway, origin):
    app = origin()
    site = gateway(endpoints=[app], workers=1, plugins=["./unsure.py:Unsure"], files={"unsure.py": UNSURE})
    (site.directory / "fail").touch()
    for _ in range(3):
        assert site.reload(site.site_file.read_text() + '\nlog_level = "error"\n').returncode == 2
    name = app.url.removeprefix("http://")
    assert site.command("drain", "app", name).returncode == 0
    # Said at level info, which is still in force.
    site.wait_for_log(f"upstream app: endpoint {name}: up → draining")
    assert site.log.count("up → draining") == 1


def test_a_reload_does_not_tell_again_what_has_become_of_endpoints(gateway, origin):
    app = origin()
    site = gateway(endpoints=[app], workers=1)
    name = app.url.removeprefix("http://")
    assert site.command("drain", "app", name).returncode == 0
    site.wait_for_log("up → draining")
    assert site.reload().returncode == 0
    assert site.command("enable", "app", name).returncode == 0
    site.wait_for_log("draining → up")
    assert site.log.count("up → draining") == 1


@pytest.mark.parametrize("is_by_signal", [True, False])
def test_a_refused_reload_is_in_the_log_and_in_the_status_until_one_succeeds(gateway, origin, is_by_signal):
    site = gateway(endpoints=[origin()], workers=1)
    right = site.site_file.read_text()
    assert "configuration in force since 2" in site.command("status").stdout
    if is_by_signal:
        site.site_file.write_text(right + "\nworkerz = 1\n")
        site.signal(signal.SIGHUP)
    else:
        assert site.reload(right + "\nworkerz = 1\n").returncode == 2
    site.wait_for_log(f"reload failed: {site.site_file}: unknown key 'workerz'; did you mean 'workers'?")
    told = site.command("status").stdout
    assert "the last reload failed, at 2" in told
    assert "unknown key 'workerz'" in told
    assert site.reload(right).returncode == 0
    assert "failed" not in site.command("status").stdout


def test_workers_say_that_they_end_because_their_supervisor_is_gone(gateway, origin):
    site = gateway(endpoints=[origin()], workers=2)
    workers = site.workers
    os.kill(site.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, workers)), within=5)
    for index in (0, 1):
        assert f"worker {index} ends, for its supervisor is gone" in site.log


def test_a_refused_reload_leaves_no_port_open(gateway, origin):
    app = origin()
    site = gateway(endpoints=[app])
    quiet = "127.0.77.1"  # where no connection of another test takes a port that has just become free
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server((quiet, 0)) as probe:
        busy, free = taken.getsockname()[1], probe.getsockname()[1]
        probe.close()
        listeners = [{"bind": "127.0.0.1:0"}, {"bind": f"{quiet}:{free}"}, {"bind": f"127.0.0.1:{busy}"}]
        done = site.reload(site_text([app], listeners=listeners))
        assert done.returncode == 2
        assert (
            f"{site.site_file}: listeners[2].bind: listener 127.0.0.1:{busy}: the address is in use" in done.stderr
        )
        with socket.socket() as client:
            assert client.connect_ex((quiet, free)) != 0


def test_an_admin_socket_takes_the_place_of_no_file_and_of_no_other_gateway(gateway, origin, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "site.toml").write_text(site_text([origin()], admin_socket=str(precious)))
    done = run_command("run", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert f"site.toml: admin_socket: {precious}: a file that is no socket is in the way" in done.stderr
    assert precious.read_text() == "mine"

    path = tmp_path / "admin.sock"
    site = gateway(endpoints=[origin()], admin_socket=str(path))
    (tmp_path / "site.toml").write_text(site_text([origin()], admin_socket=str(path)))
    done = run_command("run", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    told = f"site.toml: admin_socket: {path} is served by another gateway; give each its own path"
    assert told in done.stderr
    assert site.command("status", "--admin", str(path)).returncode == 0


def test_an_admin_socket_is_not_moved_by_a_reload(gateway, origin, tmp_path):
    app = origin()
    site = gateway(endpoints=[app], admin_socket=str(tmp_path / "one.sock"))
    (site.directory / "site.toml").write_text(site_text([app], admin_socket=str(tmp_path / "other.sock")))
    done = site.command("reload", "--admin", str(tmp_path / "one.sock"))
    assert done.returncode == 2
    assert "admin_socket: to change it, stop the gateway and start it anew" in done.stderr


@pytest.mark.parametrize("is_toml", [True, False])
def test_a_gateway_with_an_admin_socket_is_found_by_a_site_file_that_is_wrong(gateway, origin, tmp_path, is_toml):
    app = origin()
    site = gateway(endpoints=[app], admin_socket=str(tmp_path / "one.sock"))
    text = site.site_file.read_text()
    wrong = text + ("\nworkerz = 1\n" if is_toml else "\n= wrong\n")
    done = site.reload(wrong)
    assert done.returncode == 2
    assert ("unknown key 'workerz'" if is_toml else "not TOML") in done.stderr
    name = app.url.removeprefix("http://")
    for asked in (
        ("status", "site.toml"),
        ("endpoints", "site.toml"),
        ("drain", "app", name, "--site", "site.toml"),
    ):
        done = site.command(*asked)
        assert (done.returncode, done.stderr) == (0, "")
    # From a shell that has another runtime folder than the gateway, the file is all there is to go by.
    elsewhere = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = run_command("status", "site.toml", directory=site.directory, environment=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert site.stop() == 0
    assert list((site.directory / "gateway").iterdir()) == []
    done = site.command("reload", "site.toml")
    assert ("unknown key 'workerz'" if is_toml else "not TOML") in done.stderr
    assert f"no answer on {tmp_path}/one.sock" in done.stderr


def test_a_gateway_is_found_by_its_site_file_after_that_names_another_admin_socket(gateway, origin, tmp_path):
    app = origin()
    site = gateway(endpoints=[app], admin_socket=str(tmp_path / "one.sock"))
    done = site.reload(site_text([app], admin_socket=str(tmp_path / "other.sock")))
    assert done.returncode == 2
    assert "admin_socket: to change it, stop the gateway and start it anew" in done.stderr
    elsewhere = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = run_command("reload", "site.toml", directory=site.directory, environment=elsewhere)
    assert done.returncode == 2
    assert f"no answer on {tmp_path}/other.sock; if admin_socket was another one at the start" in done.stderr
    site.kill()
    assert "no answer on" in site.command("status", "site.toml").stderr
    assert list((site.directory / "gateway").iterdir()) == []


def test_a_reason_with_brackets_and_an_address_with_them_are_shown(gateway, origin):
    site = gateway(upstreams={"app": {"endpoints": [origin().url, "http://[fd00::1]:8000"]}})
    assert site.command("drain", "app", "[fd00::1]:8000", "--reason", "see [/ops/1]").returncode == 0
    shown = site.command("endpoints")
    assert shown.returncode == 0, shown.stderr
    assert "[fd00::1]:8000" in shown.stdout
    wait_until(lambda: "see [/ops/1]" in site.command("endpoints").stdout)


WAITS = """
import asyncio
from pathlib import Path

from gateway import hookimpl


class Waits:
    @hookimpl
    async def startup(self, app):
        while not (Path(__file__).parent / "go").exists():
            await asyncio.sleep(0.01)
"""


def test_a_worker_that_dies_during_a_rolling_restart_leaves_no_orphan(gateway, origin):
    site = gateway(
        endpoints=[origin()], workers=2, plugins=["./waits.py:Waits"], files={"waits.py": WAITS, "go": ""}
    )
    before = site.workers
    second = int(re.search(r"^\W*1\W+(\d+)", site.command("status").stdout, re.MULTILINE)[1])
    (site.directory / "go").unlink()
    with ThreadPoolExecutor() as pool:
        restarting = pool.submit(site.restart)
        wait_for_workers(site, 3)  # the first of the new ones waits
        os.kill(second, signal.SIGKILL)
        wait_until(lambda: len(set(site.workers) - set(before)) == 2)  # and so does the one in its place
        (site.directory / "go").touch()
        assert restarting.result().returncode == 0
    wait_until(lambda: not set(before) & set(site.workers), within=10)
    there = wait_for_workers(site, 2)
    shown = site.command("status").stdout
    assert all(str(pid) in shown for pid in there), shown
    assert "draining" not in shown
