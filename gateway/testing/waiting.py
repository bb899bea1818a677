"""Wait for a condition, with a deadline. Tests never sleep for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], *, within: float = 5.0, every: float = 0.01, message: str = "condition not met"
) -> T:
    """Call `condition` until it is true and return what it gave; AssertionError when the time is over."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{message} (waited {within:g} s)")
        time.sleep(every)
