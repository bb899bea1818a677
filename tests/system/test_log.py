"""The gateway's own log: it holds nobody up, and an outage does not flood it."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys

import pytest

from gateway.testing import site_text, wait_until
from gateway.testing.client import Client

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
SMALL_PIPE_BYTES = 4096


def test_in_an_outage_the_first_failures_are_told_and_the_others_counted(gateway, origin):
    app = origin()
    url = app.url
    app.close()
    site = gateway(endpoints=[url])
    with site.connect() as client:
        for _ in range(30):
            assert client.request(GET).status == 502
    site.stop()
    assert site.log.count("ConnectFailed: endpoint ") == 20
    assert "upstream app: 10 more exchanges failed within 10 s: ConnectFailed" in site.log


@pytest.fixture
def unread(tmp_path, origin):
    """A gateway whose stderr is a small pipe that nobody reads after it was ready, and its port."""
    app = origin()
    url = app.url
    app.close()
    plugin = "import logging\nfrom gateway import hookimpl\nclass Talks:\n    @hookimpl\n"
    plugin += "    def on_request(self, exchange):\n        logging.getLogger(__name__).warning('x' * 1000)\n"
    (tmp_path / "talks.py").write_text(plugin)
    (tmp_path / "site.toml").write_text(site_text([url], plugins=["./talks.py:Talks"]))
    command = [sys.executable, "-m", "gateway", "run", "site.toml"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, SMALL_PIPE_BYTES)
        said = b""
        while b"gateway: ready" not in said:
            said += os.read(process.stderr.fileno(), 1000)
        yield process, int(said.split(b"http://127.0.0.1:")[1].split()[0])
        process.terminate()
        process.stderr.read()


def test_a_log_that_nobody_reads_holds_up_no_request(unread):
    process, port = unread
    with Client(("127.0.0.1", port), timeout=5) as client:
        for _ in range(30):
            assert client.request(GET).status == 502
    said = b""

    def is_told() -> bool:
        nonlocal said
        with Client(("127.0.0.1", port), timeout=5) as client:
            client.request(GET)
        if select.select([process.stderr], [], [], 5)[0]:
            said += os.read(process.stderr.fileno(), 1 << 16)
        return b"gateway: nobody read this log: " in said

    wait_until(is_told, message="what was dropped is not told")
