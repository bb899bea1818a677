"""The access log of a real gateway: what is in it, when it is there, and that nothing waits for it."""

from __future__ import annotations

import json
import os
import signal

import pytest

from gateway.testing import GatewayDied, reply, run_command, site_text, wait_until


def lines(site, name="access.log"):
    return [json.loads(line) for line in (site.directory / name).read_text().splitlines()]


def start(gateway, origin, **settings):
    config = {"use": "access-log", "file": "access.log", "flush_interval": "10ms", **settings}
    return gateway(endpoints=[origin], plugins=[config])


def test_each_exchange_leaves_a_line(gateway, origin):
    app = origin(reply(b"hello"))
    site = start(gateway, app)
    site.get("/a%20b?c=d", b"User-Agent: me")
    site.request(b"POST /up HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc")
    site.request(b"GET / HTTP/1.1\r\n\r\n")
    wait_until(lambda: len(lines(site)) == 3)
    get, post, bad = lines(site)
    assert (get["method"], get["target"], get["host"], get["status"]) == ("GET", "/a%20b?c=d", "example.com", 200)
    assert (get["bytes_out"], get["user_agent"], get["attempts"]) == (5, "me", 1)
    assert get["endpoint"] == app.url.removeprefix("http://")
    assert 0 < get["upstream_ms"] < get["duration_ms"] < 5000
    assert (post["method"], post["bytes_in"]) == ("POST", 3)
    assert (bad["status"], bad["attempts"], bad["endpoint"]) == (400, 0, None)
    assert bad["error"].startswith("ClientError: ")


def test_a_response_that_was_cut_says_why(gateway, origin):
    def cut(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.close()

    site = start(gateway, origin(cut))
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        client.read_until_closed()
    wait_until(lambda: lines(site))
    assert lines(site)[0]["error"].startswith("ResponseCut: ")


def test_everything_is_written_at_the_end(gateway, origin):
    site = start(gateway, origin(), flush_interval="1h")
    for _ in range(5):
        site.get()
    assert site.stop() == 0
    assert len(lines(site)) == 5


def test_stdout_is_the_default(gateway, origin):
    site = gateway(endpoints=[origin()], plugins=["access-log"])
    site.get()
    site.stop()
    assert json.loads(site.output)["status"] == 200


def test_after_the_signal_a_new_file_is_begun(gateway, origin):
    site = start(gateway, origin())
    site.get("/one")
    wait_until(lambda: lines(site))
    (site.directory / "access.log").rename(site.directory / "old.log")
    site.signal(signal.SIGUSR1)
    wait_until(lambda: (site.directory / "access.log").exists())
    site.get("/two")
    wait_until(lambda: lines(site))
    assert [line["target"] for line in lines(site, "old.log")] == ["/one"]
    assert [line["target"] for line in lines(site)] == ["/two"]


def test_a_full_disk_costs_lines_and_no_requests(gateway, origin):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    site = start(gateway, origin(), file="/dev/full")
    assert [site.get().status for _ in range(20)] == [200] * 20
    wait_until(lambda: "lines are dropped" in site.log)
    assert site.stop() == 0
    assert site.log.count("lines are dropped") == 1


def test_a_reader_of_stdout_that_stalls_holds_nothing_up(gateway, origin):
    """A pipe that nobody reads fills up; requests and the end go on."""
    app = origin()
    read, write = os.pipe()
    try:
        config = {"use": "access-log", "file": f"/proc/{os.getpid()}/fd/{write}", "batch": 1}
        site = gateway(endpoints=[app], plugins=[config])
        long = "/" + "x" * 8000
        assert {site.get(long).status for _ in range(40)} == {200}
        site.stop(within=12)
        assert not site.is_running
    finally:
        os.close(read)
        os.close(write)


def test_a_file_that_cannot_be_opened_stops_the_start(gateway, origin):
    with pytest.raises(
        GatewayDied, match=r"site\.toml: plugins\.access-log: file: .*No such file or directory; name"
    ):
        start(gateway, origin(), file="missing/access.log")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("missing/access.log", "No such file or directory; name a file in a folder that is there"),
        ("folder", "Is a directory"),
        ("access.log", ""),
        ("stdout", ""),
    ],
)
def test_a_file_that_cannot_be_opened_fails_the_check_and_one_that_can_is_not_made(tmp_path, file, said):
    (tmp_path / "folder").mkdir()
    config = {"use": "access-log", "file": file}
    (tmp_path / "site.toml").write_text(site_text(["http://127.0.0.1:9"], plugins=[config]))
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == (2 if said else 0), done.stderr
    assert (f"site.toml: plugins.access-log: file: {tmp_path}/{file}: {said}" in done.stderr) if said else True
    assert not (tmp_path / "access.log").exists()


def test_several_workers_share_a_file(gateway, origin):
    config = {"use": "access-log", "file": "access.log", "batch": 7}
    site = gateway(endpoints=[origin()], plugins=[config], workers=2)
    for number in range(60):
        site.get(f"/{number}")
    site.stop()
    assert {line["target"] for line in lines(site)} == {f"/{number}" for number in range(60)}
