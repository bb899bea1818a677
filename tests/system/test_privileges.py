"""A gateway that root has started serves as somebody else."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from gateway.testing import run_command, site_text, wait_for_workers, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def ids_of(pid: int) -> set[int]:
    """Real, effective, saved and file system user ids (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {int(word) for line in status.splitlines() if line.startswith("Uid:") for word in line.split()[1:]}


def test_workers_become_the_user_and_the_supervisor_replaces_them_still(gateway, origin):
    nobody = pwd.getpwnam("nobody").pw_uid
    site = gateway(endpoints=[origin()], user="nobody", workers=2)
    assert [ids_of(pid) for pid in site.workers] == [{nobody}, {nobody}]
    assert ids_of(site.pid) == {0}
    assert site.get().body == b"ok"
    before = site.workers
    assert site.restart().returncode == 0
    wait_until(lambda: set(site.workers).isdisjoint(before))
    assert [ids_of(pid) for pid in site.workers] == [{nobody}, {nobody}]
    assert site.reload(site_text([origin()], workers=1)).returncode == 0
    (worker,) = wait_for_workers(site, 1)
    assert ids_of(worker) == {0}


def test_a_worker_that_is_somebody_else_still_sees_its_own_connections(gateway, origin):
    """The system hides /proc/self/fd from a process that has changed its user, unless it is told not to."""
    site = gateway(endpoints=[origin()], user="nobody", listeners=[{"bind": "127.0.0.1:0"}])
    (worker,) = site.workers
    assert Path(f"/proc/{worker}/fd").stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_a_key_that_root_alone_can_read_is_served_by_the_user(gateway, origin, authority):
    issued = authority.issue("localhost")
    issued.key.chmod(0o600)
    listeners = [{"bind": "127.0.0.1:0", "tls": {"cert": issued.cert, "key": issued.key}}]
    site = gateway(endpoints=[origin()], listeners=listeners, user="nobody")
    with site.connect(tls=issued.client_context(), server_name="localhost") as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").body == b"ok"


def test_a_user_that_is_nobody_is_named(tmp_path):
    (tmp_path / "site.toml").write_text(site_text(["http://127.0.0.1:9"], user="nobodies"))
    done = run_command("run", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert "site.toml: user: there is no user 'nobodies' on this machine" in done.stderr
