"""gcra: the arithmetic of a limit against a bucket of tokens, and how a rate is written."""

from __future__ import annotations

from fractions import Fraction

import pytest
from gateway_security.gcra import SECOND, Limit, parse_rate
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = st.builds(
    Limit.of,
    st.builds("{}/{}".format, st.integers(1, 2000), st.sampled_from("smhd")),
    st.none() | st.integers(1, 500),
    st.sampled_from([0.0, 0.25, 3.0]),
)


class Bucket:
    """The same limit as people explain it: tokens drip in, each request takes one, some may be owed for a while."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self.tokens = Fraction(limit.burst)
        self._seen = 0

    def wait(self, now: int) -> Fraction | None:
        """How long a request has to wait; None if it is refused."""
        dripped = Fraction(now - self._seen, self._limit.interval)
        self.tokens = min(self.tokens + dripped, Fraction(self._limit.burst))
        self._seen = now
        wait = max(1 - self.tokens, Fraction(0)) * self._limit.interval
        if wait > self._limit.patience:
            return None
        self.tokens -= 1
        return wait


@settings(deadline=None, database=None)
@given(LIMITS, st.lists(st.integers(0, 2 * SECOND) | st.integers(0, 10**14), max_size=60))
def test_a_limit_lets_through_what_a_bucket_of_tokens_does(limit, pauses):
    bucket, paid_at, now = Bucket(limit), 0, 0
    for pause in pauses:
        now += pause
        wait, over = bucket.wait(now), limit.over(paid_at, now)
        assert (wait is None) == (over > limit.patience)
        if wait is None:
            # Whoever comes again when it was told to is let in, and a moment earlier is not.
            again = now + limit.next_in(over)
            assert limit.over(paid_at, again) == limit.patience
            assert limit.over(paid_at, again - 1) > limit.patience
        else:
            assert wait == max(over, 0)
            paid_at = limit.charged(paid_at, now)
            assert limit.remaining(over) == max(int(bucket.tokens), 0)


@settings(deadline=None, database=None)
@given(LIMITS, st.lists(st.integers(0, 10**12), max_size=100))
def test_no_stretch_of_time_has_more_than_a_burst_and_what_the_rate_gives(limit, pauses):
    paid_at, now, passed = 0, 0, []
    for pause in pauses:
        now += pause
        over = limit.over(paid_at, now)
        if over <= limit.patience:
            paid_at = limit.charged(paid_at, now)
            passed.append(now + max(over, 0))
    for first, begin in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= limit.burst + (passed[last] - begin) // limit.interval


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/s", (100, 1)), ("30/m", (30, 60)), ("1000 / h", (1000, 3600)), (" 5/d", (5, 86400))],
)
def test_a_rate_is_a_number_in_a_unit_of_time(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "100", "100/w", "/s", "-1/s", "1.5/s", "0/s", "1000001/s", "٣/s", "1e3/s"])
def test_any_other_rate_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"expected a rate"):
        parse_rate(text)


def test_without_a_burst_as_many_may_come_at_once_as_the_rate_names():
    assert Limit.of("100/h").burst == 100
    assert Limit.of("100/h", 7).burst == 7


def test_a_rate_that_is_no_whole_number_of_nanoseconds_lets_rather_less_through():
    assert Limit.of("7/s").interval * 7 >= SECOND
    assert Limit.of("999999/s").interval * 999_999 >= SECOND
