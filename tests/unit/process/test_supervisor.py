"""What the supervisor tells: why a worker ended."""

from __future__ import annotations

import signal

import pytest

from gateway.process.supervisor import describe_exit


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-40, "killed by signal 40"),
    ],
)
def test_the_end_of_a_worker_is_described(status, said):
    assert describe_exit(status) == said
