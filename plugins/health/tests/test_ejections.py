"""Who may be ejected, for how long, and how many at a time."""

from __future__ import annotations

import pytest
from gateway_health import Passive
from gateway_health.ejections import Ejection, Ejections
from hypothesis import given
from hypothesis import strategies as st

NAMES = tuple("abcdefghij")


class Group:
    """An upstream under a clock of ours: who is ejected is not up, and is brought back when its time is over."""

    def __init__(self, count: int, **settings: object) -> None:
        self.names = NAMES[:count]
        self.now = 1000.0
        self.down: set[str] = set()
        self.ejections = Ejections(Passive(**settings))

    def up(self) -> set[str]:
        return set(self.names) - self.down - self.ejections.out

    def eject(self, name: str) -> float | None:
        """Seconds for which it is out; None if it stays in."""
        ejection = self.ejections.propose(name, self.names, self.up(), self.now)
        if ejection is None:
            return None
        self.ejections.take(name, ejection)
        return ejection.until - self.now

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for name in self.ejections.due(self.now):
            self.ejections.end(name)


def test_the_first_ejection_lasts_as_long_as_the_settings_say():
    group = Group(2, ejection="10s")
    assert group.eject("a") == 10
    assert group.ejections.out == {"a"}
    group.pass_time(9.9)
    assert group.ejections.out == {"a"}
    group.pass_time(0.2)
    assert group.ejections.out == set()


def test_each_further_one_lasts_longer_up_to_the_most():
    group = Group(2, ejection="10s", max_ejection="35s")
    lasted = []
    for _ in range(6):
        lasted.append(group.eject("a"))
        group.pass_time(lasted[-1] + 1)
    assert lasted == [10, 20, 30, 35, 35, 35]


def test_time_in_service_makes_up_for_former_ejections():
    group = Group(2, ejection="10s")
    for _ in range(3):
        group.pass_time(group.eject("a"))
    group.pass_time(19)  # one term served
    assert group.eject("a") == 30
    group.pass_time(30 + 1000)
    assert group.eject("a") == 10


@pytest.mark.parametrize(
    ("count", "share", "most"),
    [(1, 1, 0), (2, 0.5, 1), (2, 0.1, 1), (2, 1, 1), (3, 0.5, 1), (4, 0.5, 2), (10, 0.29, 2), (10, 0.3, 3)],
)
def test_no_more_than_the_share_is_out_and_never_the_last(count, share, most):
    group = Group(count, max_ejected=share)
    assert sum(group.eject(name) is not None for name in group.names) == most


def test_who_is_out_already_is_not_ejected_again():
    group = Group(4)
    assert group.eject("a") == 10
    assert group.eject("a") is None


def test_the_last_that_is_up_stays_in():
    group = Group(4)
    group.down = {"b", "c", "d"}
    assert group.eject("a") is None
    group.down = {"b", "c"}
    assert group.eject("a") == 10


def test_who_is_not_known_is_not_ejected():
    assert Group(2).eject("z") is None


def test_those_that_are_gone_do_not_count_as_out():
    group = Group(4, max_ejected=0.5)
    assert group.eject("a") == group.eject("b") == 10
    group.names = ("a", "c", "d", "e")
    assert group.eject("c") == 10


def test_what_another_worker_decided_is_taken_up():
    group = Group(2, ejection="10s")
    group.ejections.take("a", Ejection(times=3, until=group.now + 4))
    assert group.ejections.next_end == group.now + 4
    assert group.eject("b") is None
    group.pass_time(4)
    assert group.ejections.next_end is None
    assert group.eject("a") == 40


def test_those_that_are_rested_or_gone_are_forgotten():
    group = Group(6, ejection="10s", max_ejected=1)
    for name in "abc":
        group.eject(name)
    group.pass_time(10)
    group.eject("d")
    assert group.ejections.forget_rested(group.names, group.now + 5) == []
    assert sorted(group.ejections.forget_rested("acdef", group.now + 5)) == ["b"]
    assert sorted(group.ejections.forget_rested("acdef", group.now + 10)) == ["a", "c"]
    assert group.ejections.out == {"d"}


STEP = st.tuples(st.sampled_from(NAMES), st.floats(0, 60))


@given(st.lists(STEP, max_size=80), st.integers(1, len(NAMES)), st.floats(0.01, 1))
def test_whatever_happens_the_bounds_hold(steps, count, share):
    group = Group(count, max_ejected=share, ejection="10s", max_ejection="60s")
    for name, seconds in steps:
        lasts = group.eject(name)
        assert lasts is None or 10 <= lasts + 1e-6 <= 60 + 1e-5
        assert len(group.ejections.out) <= max(1, share * count + 1e-6)
        assert group.up()
        group.pass_time(seconds)
