"""One running gateway for each module of system tests, with one origin behind it.

A module may say with `SITE = {…}` what the shared gateway's site file holds; tests that need a state
of their own start their own with the `gateway` and `origin` fixtures.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.testing import GatewayProcess, Origin


@pytest.fixture(scope="module")
def shared_origin(module_origin) -> Origin:
    return module_origin()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, module_gateway, shared_origin: Origin) -> GatewayProcess:
    """The module's gateway: core only, everything goes to `app`."""
    return module_gateway(endpoints=[shared_origin], **getattr(request.module, "SITE", {}))


@pytest.fixture
def app(shared_origin: Origin) -> Iterator[Origin]:
    """The origin behind `site`, with nothing seen yet and the plainest of answers."""
    shared_origin.reset()
    yield shared_origin
    assert shared_origin.errors == []
    shared_origin.reset()


class Steady:
    """Start fast origins in processes of their own: `steady("body")` gives the URL of one."""

    def __init__(self, stack: ExitStack) -> None:
        self.pids: dict[str, int] = {}
        self._stack = stack

    def __call__(self, body: str = "steady") -> str:
        command = [sys.executable, str(Path(__file__).with_name("steady_origin.py")), body]
        process = self._stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        self._stack.callback(process.kill)
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        self.pids[url] = process.pid
        return url


@pytest.fixture
def steady() -> Iterator[Steady]:
    with ExitStack() as stack:
        yield Steady(stack)
