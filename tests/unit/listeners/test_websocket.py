"""What a close frame and a refused handshake may hold."""

from __future__ import annotations

import pytest

from gateway.listeners.websocket import refusal_headers, sendable


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 1014, 3000, 4999])
def test_a_code_that_may_be_sent_passes(code):
    assert sendable(code, otherwise=1011) == code


def test_no_code_stays_no_code():
    assert sendable(1005, otherwise=1011) is None


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_code_that_may_not_be_sent_is_replaced(code):
    assert sendable(code, otherwise=1001) == 1001


def test_a_name_never_repeats_in_a_refusal():
    raw = [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    assert refusal_headers(raw) == [(b"x-a", b"1, 3"), (b"x-b", b"2"), (b"set-cookie", b"a=1")]


def test_framing_and_upgrade_fields_of_a_refusal_are_left_to_the_server():
    raw = [(b"content-length", b"5"), (b"transfer-encoding", b"chunked"), (b"connection", b"close"), (b"x-a", b"1")]
    assert refusal_headers([*raw, (b"upgrade", b"websocket"), (b"sec-websocket-accept", b"x")]) == [(b"x-a", b"1")]
