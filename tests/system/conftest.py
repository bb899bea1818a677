"""One running gateway for each module of system tests, with one origin behind it.

A module may say with `SITE = {…}` what the shared gateway's site file holds; tests that need a state
of their own start their own with the `gateway` and `origin` fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator

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
