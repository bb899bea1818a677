"""What every test may use: the fixtures of `gateway.testing`, also when the package is not installed."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugin from the source tree unless its entry point did that already."""
    plugins = config.pluginmanager
    if not plugins.has_plugin("gateway"):
        plugins.import_plugin("gateway.testing.pytest_plugin")
