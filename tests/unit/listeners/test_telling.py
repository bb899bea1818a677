"""Clients that are turned away: the first is told, the others are counted."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.listeners.telling import Telling
from gateway.throttle import MAX_KINDS, OTHERS


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="gateway.listeners")
    return caplog


async def counted(telling: Telling) -> None:
    """Wait until the others have been told of."""
    async with asyncio.timeout(5):
        while telling.is_quiet:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)


async def test_one_alone_is_told_once(said):
    telling = Telling(":443", "denied", 0.01)
    telling.tell("192.0.2.7", "not a friend")
    await counted(telling)
    assert said.messages == ["listener :443: denied 192.0.2.7: not a friend"]


async def test_others_are_counted_by_reason_and_then_one_is_told_again(said):
    telling = Telling(":443", "denied", 0.01)
    for reason in ("a", "a", "b", "a"):
        telling.tell("192.0.2.7", reason)
    assert said.messages == ["listener :443: denied 192.0.2.7: a"]
    await counted(telling)
    assert said.messages[1:] == [
        "listener :443: denied 2 more within 0.01 s: a",
        "listener :443: denied 1 more within 0.01 s: b",
    ]
    telling.tell("192.0.2.8", "a")
    assert said.messages[3:] == ["listener :443: denied 192.0.2.8: a"]


async def test_reasons_that_clients_make_up_do_not_fill_the_log(said):
    telling = Telling(":443", "denied", 0.01)
    for number in range(1000):
        telling.tell("192.0.2.7", str(number))
    await counted(telling)
    assert len(said.messages) == MAX_KINDS + 2
    assert said.messages[-1] == f"listener :443: denied {999 - MAX_KINDS} more within 0.01 s: {OTHERS}"


async def test_at_the_level_debug_every_one_is_told(said):
    said.set_level(logging.DEBUG, logger="gateway.listeners")
    telling = Telling(":443", "denied")
    for client in ("192.0.2.7", "192.0.2.8"):
        telling.tell(client, "a")
    assert said.messages == ["listener :443: denied 192.0.2.7: a", "listener :443: denied 192.0.2.8: a"]
