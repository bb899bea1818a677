"""Hooks of a worker's and a connection's end that do not return: the log names the plugin, and the gateway ends."""

from __future__ import annotations

import pytest

from gateway.testing import wait_until

HOOKS = """
import asyncio, time
from pathlib import Path
from gateway import hookimpl

class Hangs:
    @hookimpl
    async def shutdown(self, app):
        await asyncio.sleep(1000)

class Blocks:
    @hookimpl
    def shutdown(self, app):
        time.sleep(1000)

class Door:
    @hookimpl
    async def on_connect(self, connection):
        await asyncio.sleep(1000)

class Ends:
    @hookimpl
    def on_disconnect(self, connection):
        Path(__file__).with_name("ends").write_text(connection.client)
"""


@pytest.mark.parametrize("name", ["Hangs", "Blocks"])
def test_a_shutdown_that_does_not_return_is_named_and_its_worker_ended(gateway, origin, name):
    site = gateway(
        endpoints=[origin()],
        files={"hooks.py": HOOKS},
        plugins=[f"./hooks.py:{name}"],
        drain_timeout="1s",
        workers=1,
    )
    assert site.stop(within=15) == 0
    assert f"plugin '{name}': its shutdown has not returned for 1 s" in site.log
    assert "has not ended 3 s after its time to drain (1 s); it is killed" in site.log


def test_a_worker_that_ends_in_time_is_not_told_of(gateway, origin):
    site = gateway(endpoints=[origin()])
    assert site.stop() == 0
    assert "has not ended" not in site.log
    assert "shutdown" not in site.log


def test_a_look_at_a_connection_that_does_not_return_is_named(gateway, origin):
    listeners = [{"bind": "127.0.0.1:0", "handshake_timeout": "200ms"}]
    site = gateway(
        endpoints=[origin()], files={"hooks.py": HOOKS}, plugins=["./hooks.py:Door"], listeners=listeners
    )
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_until_closed() == b""
    site.wait_for_log("plugin 'Door': its on_connect had not returned when <Connection of 127.0.0.1 to ")


def test_a_plugin_that_only_wants_the_end_of_a_connection_is_told(gateway, origin):
    site = gateway(endpoints=[origin()], files={"hooks.py": HOOKS}, plugins=["./hooks.py:Ends"])
    assert site.get().status == 200
    book = site.directory / "ends"
    wait_until(lambda: book.is_file() and book.read_text() == "127.0.0.1", within=5, message="it was not told")
