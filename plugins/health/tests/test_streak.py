"""How many checks in a row it takes to change a state."""

from __future__ import annotations

from itertools import pairwise

import pytest
from gateway_health.streak import Streak, Turn
from hypothesis import given
from hypothesis import strategies as st


def follow(checks: str, rise: int = 2, fall: int = 3, is_down: bool = False) -> str:
    """What each check (`+` passed, `-` failed) leads to: `u` for up, `d` for down."""
    streak, states = Streak(rise, fall), ""
    for check in checks:
        turn = streak.take(check == "+", is_down)
        is_down = turn is Turn.FALL or (is_down and turn is not Turn.RISE)
        states += "d" if is_down else "u"
    return states


@pytest.mark.parametrize(
    ("checks", "states"),
    [
        ("+++", "uuu"),
        ("---", "uud"),
        ("--+--", "uuuuu"),
        ("---++", "uuddu"),
        ("---+-++", "uuddddu"),
        ("---++--", "uudduuu"),
        ("---++---", "uudduuud"),
    ],
)
def test_it_takes_three_to_fall_and_two_to_rise(checks, states):
    assert follow(checks) == states


@pytest.mark.parametrize(("checks", "states"), [("-", "d"), ("-+", "du"), ("-+-", "dud")])
def test_one_may_be_enough(checks, states):
    assert follow(checks, rise=1, fall=1) == states


def test_who_takes_over_goes_on_from_the_state_that_there_is():
    assert follow("-+", is_down=True) == "dd"
    assert follow("++", is_down=True) == "du"
    assert follow("+--", is_down=False) == "uuu"


def test_a_state_that_somebody_else_has_changed_is_changed_back():
    streak = Streak(2, 3)
    assert [streak.take(False, False) for _ in range(3)] == [Turn.NONE, Turn.NONE, Turn.FALL]
    assert streak.take(False, False) is Turn.FALL
    assert streak.take(False, True) is Turn.NONE


@given(st.text("+-", max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_a_change_always_follows_that_many_in_a_row(checks, rise, fall):
    states = "u" + follow(checks, rise, fall)
    for number, (before, after) in enumerate(pairwise(states), 1):
        if before != after:
            latest = checks[:number]
            assert latest.endswith("-" * fall if after == "d" else "+" * rise)
