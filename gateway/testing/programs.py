"""Programs that some tests need beside Python: find them, or skip the test and say what is missing."""

from __future__ import annotations

import os
import shutil

import pytest


def require_program(name: str) -> str:
    """The path of a program. Without it the test is skipped, or fails if GATEWAY_REQUIRE_ALL=1."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is not None:
        return found
    if os.environ.get("GATEWAY_REQUIRE_ALL") == "1":
        pytest.fail(f"{name} is not installed (GATEWAY_REQUIRE_ALL=1)")
    pytest.skip(f"{name} is not installed")
