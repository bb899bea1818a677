"""The bus between processes: lines over a socket pair, in order, until one side is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.process.bus import Link, WorkerBus


@pytest.fixture
async def links() -> AsyncIterator[tuple[Link, Link]]:
    one, two = socket.socketpair()
    pair = await Link.open(one), await Link.open(two)
    yield pair
    for link in pair:
        link.close()


async def received(link: Link) -> list[tuple[str, object]]:
    async with asyncio.timeout(5):
        return [(topic, message) async for topic, message, _ in link.messages()]


@pytest.mark.parametrize(
    "message", [None, 5, "tab\tand\nline", {"a": [1, {"b": None}]}, "ünïcode \u2028", "x" * 300_000]
)
async def test_a_message_arrives_as_it_was_sent(links, message):
    ours, theirs = links
    ours.send("topic", message)
    ours.close()
    assert await received(theirs) == [("topic", message)]


async def test_messages_arrive_in_their_order(links):
    ours, theirs = links
    for number in range(100):
        ours.send("n", number)
    ours.close()
    assert await received(theirs) == [("n", number) for number in range(100)]


async def test_both_sides_talk(links):
    ours, theirs = links
    ours.send("ping")
    theirs.send("pong")
    assert await anext(aiter(theirs.messages())) == ("ping", None, "")
    assert await anext(aiter(ours.messages())) == ("pong", None, "")


async def test_a_link_that_is_closed_swallows_what_is_sent(links):
    ours, _ = links
    ours.close()
    ours.send("topic", 1)


async def test_the_end_of_the_other_side_ends_the_messages(links):
    ours, theirs = links
    theirs.close()
    assert await received(ours) == []


async def test_what_is_no_message_ends_the_link_and_is_logged(caplog):
    one, two = socket.socketpair()
    link = await Link.open(one)
    two.sendall(b"garbage\n")
    assert await received(link) == []
    assert "the bus broke" in caplog.text
    link.close()
    two.close()


async def test_what_a_worker_publishes_reaches_its_own_subscribers_and_the_supervisor(links):
    ours, theirs = links
    bus, seen = WorkerBus(ours), []
    bus.subscribe("purge", seen.append)
    bus.publish("purge", {"key": "a"})
    assert seen == [{"key": "a"}]
    ours.close()
    assert await received(theirs) == [("purge", {"key": "a"})]


async def test_what_is_delivered_to_a_worker_is_not_sent_on(links):
    ours, theirs = links
    bus, seen = WorkerBus(ours), []
    bus.subscribe("purge", seen.append)
    bus.deliver("purge", 1)
    ours.close()
    assert (seen, await received(theirs)) == ([1], [])


async def test_a_message_that_cannot_be_sent_says_so_and_the_link_lives_on(links):
    ours, theirs = links
    with pytest.raises(TypeError):
        WorkerBus(ours).publish("topic", object())
    ours.send("topic", 1)
    ours.close()
    assert await received(theirs) == [("topic", 1)]
