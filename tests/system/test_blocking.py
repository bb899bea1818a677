"""A hook that blocks holds up its worker: the log tells where."""

from __future__ import annotations

from gateway.testing import wait_until

PLUGIN = """
import time
from gateway import Response, hookimpl


class Blocks:
    @hookimpl
    def on_request(self, exchange):
        if exchange.request.raw_path == b"/blocks":
            time.sleep(1.6)  # here
        return Response(200)
"""


def test_a_hook_that_blocks_is_told_of_by_file_and_line(gateway, origin):
    site = gateway(endpoints=[origin()], plugins=["./holding.py:Blocks"], files={"holding.py": PLUGIN}, workers=1)
    assert site.get("/").status == 200
    assert "stood still" not in site.log
    assert site.get("/blocks").status == 200
    line = next(number for number, text in enumerate(PLUGIN.splitlines(), 1) if "# here" in text)
    wait_until(lambda: "worker 0 goes on after" in site.log)
    assert f"holding.py:{line} in on_request" in site.log
    assert site.log.count("stood still") == 1
