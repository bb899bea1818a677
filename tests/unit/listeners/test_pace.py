"""A request body's pace: only the time counts in which the client is waited for."""

from __future__ import annotations

import asyncio
import math

import pytest

from gateway.admission import Bounds
from gateway.config.model import Limits
from gateway.errors import BodyTimeout, BodyTooSlow, ClientStalled
from gateway.listeners.connections import Client
from gateway.listeners.pace import BodyPace, taken


def pace(**settings):
    body_time = settings.pop("body_time", 0.0)
    return BodyPace(Bounds(Limits(**settings)).tightened(body_time=body_time))


def test_a_body_that_trickles_is_too_slow_when_its_first_stretch_is_over():
    arriving = pace(body_timeout=30, body_rate=100)
    arriving.came(10, 1)
    arriving.came(19, 1)
    with pytest.raises(BodyTooSlow, match="less than 100 bytes/s"):
        arriving.came(1, 1)


def test_a_body_that_keeps_the_rate_goes_on_for_ever():
    arriving = pace(body_timeout=30, body_rate=100)
    for _ in range(1000):
        arriving.came(10, 1000)


def test_what_came_fast_before_does_not_excuse_a_trickle():
    arriving = pace(body_timeout=30, body_rate=100)
    arriving.came(30, 1_000_000)
    with pytest.raises(BodyTooSlow):
        arriving.came(30, 1)


def test_a_piece_that_was_there_at_once_costs_no_time():
    arriving = pace(body_timeout=1, body_rate=100)
    for _ in range(100):
        arriving.came(0, 1)


def test_the_whole_body_has_its_time_and_the_last_wait_is_what_is_left_of_it():
    arriving = pace(body_timeout=30, body_rate=0, body_time=50.0)
    assert arriving.seconds_left() == 30
    arriving.came(29, 1)
    assert arriving.seconds_left() == 21
    assert isinstance(arriving.lapsed(21), BodyTooSlow)
    with pytest.raises(BodyTooSlow, match="more than 50 s"):
        arriving.came(21, 1)


def test_silence_alone_is_a_timeout():
    arriving = pace(body_timeout=30)
    assert isinstance(arriving.lapsed(arriving.seconds_left()), BodyTimeout)


def test_zero_means_no_limit():
    arriving = pace(body_timeout=0, body_rate=0)
    assert arriving.seconds_left() == 0
    arriving.came(1e6, 1)


def test_the_stricter_of_two_bounds_holds():
    bounds = Bounds(Limits(max_body=100, body_timeout=0, body_rate=10))
    strict = bounds.tightened(max_body=200, body_timeout=5, body_rate=20)
    assert (strict.max_body, strict.body_timeout, strict.body_rate) == (100, 5, 20)
    same = bounds.tightened()
    assert (same.max_body, same.body_timeout, same.body_rate) == (100, 0, 10)


async def test_a_stream_that_nobody_takes_stalls():
    with pytest.raises(ClientStalled):
        await taken(asyncio.get_running_loop().create_future(), Client(), 0.01)


async def test_a_stream_that_waits_for_its_turn_on_a_slow_connection_does_not_stall():
    sending = asyncio.get_running_loop().create_future()
    client = Client()
    client.waited_at = math.inf
    asyncio.get_running_loop().call_later(0.05, sending.set_result, None)
    await taken(sending, client, 0.01)


async def test_a_stream_with_room_does_not_wait():
    async def sending():
        pass

    await taken(sending(), Client(), 0.01)


async def test_without_a_timeout_a_stream_waits_as_long_as_it_takes():
    sending = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.02, sending.set_result, None)
    await taken(sending, Client(), 0)
