"""Processes: reload, drain, a worker that dies, a rolling restart. Service goes on."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable

import pytest

from gateway.testing import (
    CutShort,
    Held,
    Load,
    OriginConnection,
    SeenRequest,
    reply,
    site_text,
    wait_for_workers,
    wait_until,
)
from gateway.testing.tree import is_alive, open_files, tree_of

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


HELD = b"GET /held HTTP/1.1\r\nHost: a.example\r\n\r\n"


def reload_by_command(site, text: str) -> None:
    done = site.reload(text)
    assert done.returncode == 0, done.stderr


def reload_by_signal(site, text: str) -> None:
    site.site_file.write_text(text)
    site.signal(signal.SIGHUP)


RELOADS = pytest.mark.parametrize("reload", [reload_by_command, reload_by_signal])


@RELOADS
def test_a_reload_swaps_the_configuration_and_keeps_the_connections(gateway, origin, reload):
    old, new = origin(reply(b"old")), origin(reply(b"new"))
    site = gateway(endpoints=[old], workers=2)
    workers = site.workers
    with site.connect() as client:
        assert client.request(GET).body == b"old"
        reload(site, site_text([new], workers=2))
        wait_until(lambda: client.request(GET).body == b"new")
    for _ in range(10):
        wait_until(lambda: site.get().body == b"new")
    assert site.workers == workers


@RELOADS
def test_a_request_in_flight_finishes_on_the_configuration_it_began_with(gateway, origin, reload):
    held = Held(reply(b"old"), b"/held")
    old, new = origin(held), origin(reply(b"new"))
    site = gateway(endpoints=[old])
    with site.connect() as client:
        client.send(HELD)
        old.wait_for_requests(1)
        reload(site, site_text([new]))
        wait_until(lambda: site.get().body == b"new")
        held.released.set()
        assert client.read_response().body == b"old"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("this is = = no toml", "site.toml"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nupstreamz = {}', "upstreamz"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nupstreams = {app = {endpoints = "x"}}', "endpoints"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nplugins = ["no-such-plugin"]', "no-such-plugin"),
    ],
)
def test_a_bad_configuration_changes_nothing(gateway, origin, text, named):
    site = gateway(endpoints=[origin()])
    workers = site.workers
    done = site.reload(text)
    assert done.returncode != 0
    assert named in done.stderr
    assert "Traceback" not in done.stderr + site.log
    told = site.log.count(named)
    site.signal(signal.SIGHUP)
    wait_until(lambda: site.log.count(named) > told, message=site.log)
    assert site.get().body == b"ok"
    wait_until(lambda: site.workers == workers)  # whoever tried the file is gone


def test_only_the_owner_may_command(gateway, origin, tmp_path):
    path = tmp_path / "admin.sock"
    gateway(endpoints=[origin()], admin_socket=path)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_command_without_a_gateway_says_so(gateway, origin):
    site = gateway(endpoints=[origin()])
    assert site.stop() == 0
    done = site.command("reload", str(site.site_file))
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1


def test_sigterm_lets_the_requests_in_flight_finish(gateway, origin):
    held = Held(reply(b"held"), b"/held")
    app = origin(held)
    site = gateway(endpoints=[app], workers=2)
    pids = site.pids
    with site.connect() as idle, site.connect() as client:
        assert idle.request(GET).body == b"held"
        client.send(HELD)
        app.wait_for_requests(2)
        site.signal(signal.SIGTERM)
        assert idle.is_closed_by_peer()
        held.released.set()
        assert client.read_response().body == b"held"
        assert client.is_closed_by_peer()
        assert site.wait(within=5) == 0
    assert [pid for pid in pids if is_alive(pid)] == []


def test_sigterm_refuses_new_connections_at_once(gateway, origin):
    held = Held(reply(b"held"), b"/held")
    app = origin(held)
    site = gateway(endpoints=[app])
    with site.connect() as client:
        client.send(HELD)
        app.wait_for_requests(1)
        site.signal(signal.SIGTERM)
        wait_until(lambda: refuses(site), within=1, message="connections are still accepted")
        held.released.set()
        assert client.read_response().body == b"held"


def refuses(site) -> bool:
    """Whether nobody listens any more."""
    try:
        site.connect(timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_does_not_wait_for_idle_connections(gateway, origin):
    site = gateway(endpoints=[origin()], drain_timeout="30s")
    with site.connect() as kept, site.connect():
        assert kept.request(GET).status == 200
        started = time.monotonic()
        site.signal(signal.SIGTERM)
        assert kept.is_closed_by_peer()
        assert site.wait(within=5) == 0
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], ids=["head", "body"])
def test_sigterm_has_a_deadline(gateway, origin, start):
    def stall(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(start)
        connection.wait_closed()

    app = origin(stall)
    log = {"use": "access-log", "fields": ["status", "error"]}
    site = gateway(endpoints=[app], drain_timeout="500ms", plugins=[log])
    with site.connect() as client:
        client.send(GET)
        app.wait_for_requests(1)
        if start:
            client.wire.take_until(b"half")
        started = time.monotonic()
        site.signal(signal.SIGTERM)
        rest = client.read_until_closed()
        assert site.wait(within=5) == 0
    assert 0.3 < time.monotonic() - started < 4
    assert rest == b"" if start else rest.startswith(b"HTTP/1.1 503 ")
    assert b"server: granian" not in rest
    assert "ShuttingDown" in site.output
    assert "Traceback" not in site.log


def test_who_is_just_connecting_at_the_deadline_is_answered_too(gateway, black_hole):
    patient = {"endpoints": [black_hole], "timeouts": {"connect": "30s"}}
    site = gateway(upstreams={"app": patient}, drain_timeout="500ms")
    with site.connect() as client:
        client.send(GET)
        wait_until(lambda: "gateway_exchanges_in_flight 1\n" in site.command("metrics").stdout)
        site.signal(signal.SIGTERM)
        assert client.read_until_closed().startswith(b"HTTP/1.1 503 ")
        assert site.wait(within=5) == 0


def test_two_signals_in_the_same_moment_are_one(gateway, origin):
    """As timeout(1) sends them: to the process, and to its group."""
    app = origin(lambda connection, request: None)
    site = gateway(endpoints=[app], drain_timeout="30s")
    with site.connect() as client:
        client.send(GET)
        app.wait_for_requests(1)
        for _ in range(2):
            site.signal(signal.SIGTERM)
        site.wait_for_log("exchanges in flight are finished first")
        assert client.is_quiet(0.2)
        site.signal(signal.SIGTERM)
        assert site.wait(within=5) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_is_replaced_within_a_second(gateway, steady, workers):
    """The best of three, because starting a process takes what a busy machine gives."""
    site = gateway(endpoints=[steady()], workers=workers)
    seconds = []
    for _ in range(3):
        before = wait_for_workers(site, workers)
        with site.connect() as client:
            client.request(GET)
            os.kill(before[0], signal.SIGKILL)
            killed = time.monotonic()
            assert site.get(timeout=5).status == 200
            seconds.append(time.monotonic() - killed)
        wait_until(lambda: len(site.workers) == workers and before[0] not in site.workers)  # noqa: B023
    assert min(seconds) < 1, seconds


def test_a_killed_worker_takes_only_its_own_requests_with_it(gateway, origin):
    held = Held(reply(b"held"), b"/held")
    app = origin(held)
    site = gateway(endpoints=[app], workers=2)
    clients = [site.connect() for _ in range(20)]
    try:
        for client in clients:
            client.send(b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        app.wait_for_requests(20)
        quieter, busier = sorted(site.workers, key=open_files)
        os.kill(quieter, signal.SIGKILL)
        wait_until(lambda: quieter not in site.workers and len(site.workers) == 2)
        held.released.set()
        outcomes = [outcome(client) for client in clients]
    finally:
        for client in clients:
            client.close()
    assert busier in site.workers
    assert set(outcomes) <= {b"held", b"lost"}
    assert outcomes.count(b"held") >= 10
    assert len(app.requests) == 20  # no POST was sent twice


def outcome(client) -> bytes:
    try:
        return client.read_response("POST").body
    except CutShort:
        return b"lost"


def test_workers_end_when_their_supervisor_is_killed(gateway, origin):
    site = gateway(endpoints=[origin()], workers=2)
    workers = site.workers
    os.kill(site.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, workers)), within=5, message="orphans")


def test_a_restart_replaces_every_worker_and_reads_the_code_anew(gateway, origin):
    hook = """
from gateway import hookimpl

class Stamp:
    @hookimpl
    def on_response(self, exchange, response):
        response.headers.set("x-version", "{version}")
"""
    site = gateway(
        endpoints=[origin()], workers=2, plugins=["./stamp.py:Stamp"], files={"stamp.py": hook.format(version=1)}
    )
    before = wait_for_workers(site, 2)
    supervisor = site.pid
    assert site.get().header("x-version") == b"1"
    (site.directory / "stamp.py").write_text(hook.format(version=2))
    done = site.restart()
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(site.workers) == 2 and not set(site.workers) & set(before), within=15)
    assert site.pid == supervisor
    for _ in range(10):
        assert site.get().header("x-version") == b"2"


def test_sigusr1_reopens_logs_and_harms_nobody(gateway, origin):
    site = gateway(endpoints=[origin()])
    pids = tree_of(site.pid)
    site.signal(signal.SIGUSR1)
    assert site.get().body == b"ok"
    assert tree_of(site.pid) == pids


def test_under_a_small_limit_of_files_it_refuses_politely_and_recovers(gateway, steady):
    site = gateway(endpoints=[steady()], under=("sh", "-c", 'ulimit -n 96; exec "$@"', "sh"))
    workers = site.workers
    clients = [site.connect(timeout=3) for _ in range(200)]
    served = 0
    try:
        for client in clients[:60]:
            served += try_one(client)
    finally:
        for client in clients:
            client.close()
    assert served > 0
    wait_until(lambda: quietly(lambda: site.get(timeout=2).status) == 200, within=5, message=site.log[-2000:])
    with Load(site.address, connections=4) as load:
        load.wait_for(50)
    assert not load.lost
    assert site.workers == workers
    assert len(site.log) < 100_000


def try_one(client) -> bool:
    """True for a 200; a polite refusal is 503, a close or a wait, and nothing else."""
    client.socket.settimeout(0.05)
    try:
        status = client.request(GET).status
    except (CutShort, TimeoutError, BrokenPipeError, ConnectionResetError):
        return False
    assert status in (200, 503)
    return status == 200


def quietly(call: Callable[[], int]) -> int:
    try:
        return call()
    except (OSError, CutShort):
        return 0
