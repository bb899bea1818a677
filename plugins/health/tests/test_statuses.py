"""Statuses as people write them."""

from __future__ import annotations

import pytest
from gateway_health.statuses import parse_statuses
from hypothesis import given
from hypothesis import strategies as st

STATUS = st.integers(100, 599)
RANGE = st.tuples(STATUS, STATUS).map(sorted)


@given(st.lists(RANGE), st.sampled_from([",", ", ", " ,"]))
def test_what_is_written_is_what_is_read(ranges, comma):
    text = comma.join(f"{first}-{last}" if first < last else str(first) for first, last in ranges)
    wanted = {status for first, last in ranges for status in range(first, last + 1)}
    assert parse_statuses(text) == wanted


@given(st.text("0123456789-, x"))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse_statuses(text)
    except ValueError:
        return
    assert found <= set(range(100, 600))


@pytest.mark.parametrize(
    "text", ["2xx", "299-200", "99", "600", "200-", "-200", "200,,204", "200 204", "200-299-300", ",", "٢٠٠"]
)
def test_what_is_no_status_is_refused(text):
    with pytest.raises(ValueError, match="expected statuses"):
        parse_statuses(text)


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_means_none(text):
    assert parse_statuses(text) == frozenset()
