"""What every test may use: the fixtures of `gateway.testing`, also when the package is not installed."""

from __future__ import annotations

import pytest

from gateway.testing import pytest_plugin


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugin from the source tree unless its entry point did that already."""
    if not config.pluginmanager.is_registered(pytest_plugin):
        config.pluginmanager.register(pytest_plugin)
