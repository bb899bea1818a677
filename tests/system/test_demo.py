"""The demo: it shows how requests spread, answers a visitor's own, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from gateway.testing import Client, run_command, wait_until
from gateway.testing.tree import is_alive, tree_of

SUMMARY = re.compile(
    r"^(\d+) requests: one (\d+), two (\d+), three (\d+)(?:, four (\d+))?; none failed", re.MULTILINE
)
PROXY_SUMMARY = re.compile(r"^\d+ requests: fresh \d+, stale 0, confirmed \d+, fetched \d+; none failed", re.M)


def test_requests_spread_over_three_origins(tmp_path):
    done = run_command("demo", "--listen", "127.0.0.1:0", "--duration", "3", directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    total, *each = map(int, SUMMARY.search(done.stdout).groups(default=0)[:4])
    assert total == sum(each) > 6
    assert min(each) > total / 6
    assert re.search(r"^ +1 s   one ", done.stdout, re.MULTILINE)


def test_the_tour_goes_past_every_stop_without_a_failed_request(demo):
    # The stops take as long as what they show takes; the time of each is only the least.
    touring = demo("--step", "1")
    told = ""
    for line in touring.stdout:
        told += line
        if "gateway explain" in line:
            break
    rest, errors = touring.interrupt()
    assert (touring.returncode, errors) == (0, "")
    assert "✗" not in told
    stops = re.findall(r"^(\d) of 6  (.+)$", told, re.MULTILINE)
    assert [number for number, _ in stops] == list("123456")
    for found in (
        "6 of 6 visitors are where they began",
        r"taken out after \d+\.\d s",
        r"back after \d+\.\d s",
        "no strangers came",
        r"\d+% of the strangers there",
    ):
        assert re.search(f"^  ✓ {found}$", told, re.MULTILINE), found
    assert told.count("✓ no requests failed") == 6
    assert int(SUMMARY.search(rest)[5]) > 0, "nobody met the canary"


def test_a_visitor_is_answered_by_each_of_them(demo):
    url = urlsplit(demo().read_url())
    bodies = set()
    for _ in range(60):
        with Client((url.hostname, url.port)) as client:
            response = client.request(b"POST /hi?x HTTP/1.1\r\nHost: demo\r\nContent-Length: 2\r\n\r\nhi")
        assert response.status == 200
        bodies.add(response.text)
    assert bodies == {f"Hello from {name}: POST /hi?x\n" for name in ("one", "two", "three")}


def test_control_c_ends_everything_with_exit_status_0(demo):
    ended = demo()
    address = urlsplit(ended.read_url())
    ended.stdout.readline()
    everyone = tree_of(ended.pid)
    assert len(everyone) >= 4, "the demo, the supervisor, two workers"
    rest, errors = ended.interrupt()
    assert (ended.returncode, errors) == (0, "")
    assert SUMMARY.search(rest)
    wait_until(lambda: not any(map(is_alive, everyone)), message="something was left behind")
    with socket.socket() as probe:
        assert probe.connect_ex((address.hostname, address.port)) != 0


@pytest.mark.parametrize(
    ("profile", "head", "column", "summary"),
    [
        pytest.param("l7-balancer", b"Origin", b"Strangers", SUMMARY, id="l7-balancer"),
        pytest.param("reverse-proxy", b"Readers get it", b"stale from", PROXY_SUMMARY, id="reverse-proxy"),
    ],
)
def test_on_a_terminal_a_table_is_redrawn_until_control_c(profile, head, column, summary):
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", profile, "--listen", "127.0.0.1:0"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        start_new_session=True,
    ) as demo:
        os.close(theirs)
        shown, deadline, is_interrupted = b"", time.monotonic() + 30, False
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    shown += os.read(ours, 1 << 16)
                except OSError:  # the last one has closed the terminal
                    break
            if not is_interrupted and shown.count(head) > 5:
                demo.send_signal(signal.SIGINT)
                is_interrupted = True
        os.close(ours)
        assert demo.wait(10) == 0
    assert column in shown
    assert b"Traceback" not in shown
    assert summary.search(shown.replace(b"\r", b"").replace(b"\x1b[?25h", b"").decode())


def test_a_gateway_that_dies_ends_the_demo_and_is_told(demo):
    orphan = demo()
    orphan.read_url()
    orphan.stdout.readline()
    supervisor = min(pid for pid in tree_of(orphan.pid) if pid != orphan.pid)
    os.kill(supervisor, signal.SIGKILL)
    _, errors = orphan.communicate(timeout=15)
    assert orphan.returncode == 1
    assert "the gateway ended by itself" in errors


def test_a_taken_port_is_named_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_command("demo", "--listen", bind, directory=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert bind in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_address_that_is_none_is_named_in_one_line(tmp_path):
    done = run_command("demo", "--listen", "unix:/tmp/x.sock", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ADDRESS:PORT" in done.stderr


def test_a_profile_without_a_tour_is_refused_and_the_others_are_named(tmp_path):
    done = run_command("demo", "l4-balancer", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "l7-balancer" in done.stderr
    assert "reverse-proxy" in done.stderr
