"""What the supervisor tells of its workers, and how long it waits before it starts one anew."""

from __future__ import annotations

import signal

import pytest

from gateway.process.history import MAX_PAUSE_SECONDS, STEADY_SECONDS, History, describe_exit, longer


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


def test_a_worker_that_dies_early_again_and_again_is_given_ever_longer_pauses():
    history = History()
    pauses = [history.died(0, 0.01, "killed by SIGABRT") for _ in range(5000)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == MAX_PAUSE_SECONDS
    assert history.died(1, 0.01, "exit status 1") == 0.1


def test_a_worker_that_was_well_for_long_is_replaced_at_once_and_a_change_is_a_fresh_start():
    history = History()
    assert history.died(0, STEADY_SECONDS + 1, "killed by SIGKILL") == 0.0
    for _ in range(3):
        history.died(0, 0.01, "killed by SIGABRT")
    history.changed()
    assert history.died(0, 0.01, "killed by SIGABRT") == 0.1


def test_the_deaths_are_counted_and_the_last_one_is_described():
    history = History()
    assert "deaths" not in history.as_data()
    history.died(0, 0.01, "killed by SIGABRT")
    history.died(1, 0.01, "exit status 1")
    deaths = history.as_data()["deaths"]
    assert (deaths["count"], deaths["how"]) == (2, "worker 1: exit status 1")
    assert deaths["first"] <= deaths["last"]


def test_tries_that_fail_grow_apart():
    assert (longer(0.0), longer(0.1), longer(9.0)) == (0.1, 0.2, MAX_PAUSE_SECONDS)


def test_a_change_that_failed_is_told_until_one_succeeds():
    history = History()
    assert "refused" not in history.as_data()
    history.refused("reload", "site.toml: workers: is wrong")
    assert (
        history.as_data()["refused"].items() >= {"what": "reload", "reason": "site.toml: workers: is wrong"}.items()
    )
    before = history.as_data()["in_force"]
    history.changed()
    assert "refused" not in history.as_data()
    assert history.as_data()["in_force"] >= before
