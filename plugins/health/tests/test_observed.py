"""When one worker has seen too many failures."""

from __future__ import annotations

from gateway_health import Passive
from gateway_health.observed import Observed


class Watched:
    """An endpoint under a clock of ours."""

    def __init__(self, **settings: object) -> None:
        self.now = 1000.0
        self.observed = Observed("app", "a:1", Passive(**settings))

    def succeed(self, times: int = 1) -> None:
        self.observed.requests += times
        self.observed.in_a_row = 0

    def fail(self, times: int = 1) -> list[str]:
        return [self.observed.fail(self.now) for _ in range(times)]


def test_five_failures_in_a_row_are_too_many():
    assert Watched().fail(5) == ["", "", "", "", "failures in a row: 5"]


def test_a_success_begins_the_row_anew():
    app = Watched(error_rate=0)
    for _ in range(10):
        assert app.fail(4) == [""] * 4
        app.succeed()
    assert app.fail(5)[-1]


def test_after_a_complaint_counting_begins_anew():
    app = Watched(failures=3)
    assert app.fail(7) == ["", "", "failures in a row: 3"] * 2 + [""]


def test_zero_means_that_rows_do_not_count():
    app = Watched(failures=0, error_rate=0)
    assert app.fail(100) == [""] * 100


def test_half_of_twenty_requests_are_too_many():
    app = Watched(failures=0)
    said = []
    for _ in range(10):
        said += app.fail()
        app.succeed()
    assert said == [""] * 10  # the twentieth request was a success
    assert app.fail() == ["11 of 21 attempts failed"]


def test_few_requests_say_nothing():
    app = Watched(failures=0, min_requests=20)
    assert app.fail(19) == [""] * 19
    assert app.fail() == ["20 of 20 attempts failed"]


def test_below_the_share_nothing_happens():
    app = Watched(failures=0, error_rate=0.5)
    for _ in range(100):
        assert app.fail() == [""]
        app.succeed(2)


def test_what_was_longer_ago_than_the_window_does_not_count():
    app = Watched(failures=0, window="10s")
    assert app.fail(19) == [""] * 19
    app.now += 10
    assert app.fail(19) == [""] * 19
    app.now += 9.9
    assert app.fail() == ["20 of 20 attempts failed"]


def test_successes_between_windows_do_not_water_down_the_next():
    app = Watched(failures=0, window="10s")
    app.fail()
    app.succeed(10_000)
    app.now += 11
    assert app.fail(20)[-1] == "20 of 20 attempts failed"


def test_what_is_off_looks_for_nothing():
    observed = Observed("app", "a:1", Passive(failures=0, error_rate=0))
    assert observed.bad_statuses == frozenset()
    assert observed.counted == ()
