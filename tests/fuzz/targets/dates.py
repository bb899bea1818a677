"""Dates: what is read can be written, and is then read as the same."""

from __future__ import annotations

from gateway.semantics.dates import format_date, parse_date


def check(data: bytes) -> None:
    seconds = parse_date(data)
    if seconds is not None:
        written = format_date(seconds)
        assert len(written) == len(b"Sun, 06 Nov 1994 08:49:37 GMT"), written
        assert parse_date(written) == seconds
