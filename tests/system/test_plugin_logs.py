"""What a plugin logs under its own name is in the gateway's log, from the level on that the site file says."""

from __future__ import annotations

import pytest

TALKING = """
import logging
from gateway import hookimpl

log = logging.getLogger(__name__)
library = logging.getLogger("some_library")

class Talking:
    def __init__(self):
        log.info("it is made")
    @hookimpl
    def startup(self, app):
        log.info("it starts")
    @hookimpl
    def on_request(self, exchange):
        log.debug("a request")
        library.info("a detail of the library")
        library.warning("a warning of the library")
        log.warning("it is done")
"""


@pytest.fixture
def talking(gateway, origin):
    def start(**settings: object):
        app, files = origin(), {"talking.py": TALKING}
        return gateway(endpoints=[app], workers=1, plugins=["./talking.py:Talking"], files=files, **settings)

    return start


def test_what_is_told_and_by_whom(talking):
    site = talking()
    assert site.get().status == 200
    site.wait_for_log("gateway_local_talking: it is done")
    for line in ("gateway_local_talking: it is made", "gateway_local_talking: it starts"):
        assert line in site.log
    assert "some_library: a warning of the library" in site.log
    for line in ("a request", "a detail of the library"):
        assert line not in site.log


def test_the_level_of_the_site_file_holds_for_plugins_and_after_a_reload(talking):
    site = talking(log_level="debug")
    assert site.get().status == 200
    site.wait_for_log("gateway_local_talking: a request")
    text = site.site_file.read_text()
    assert site.reload(text.replace('"debug"', '"error"')).returncode == 0
    assert site.get().status == 200
    site.wait_for_log("some_library: a warning of the library", times=2)
    assert site.get().status == 200
    site.wait_for_log("some_library: a warning of the library", times=3)
    assert site.log.count("it is done") == 1
