"""The patrol: real connections, and a clock that is told the time."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import ExitStack

import pytest

from gateway import Request
from gateway.admission import Bounds
from gateway.config.model import Limits, Listener
from gateway.listeners.connections import MAX_LIVE, MAX_STALLED, Clients, Patrol, Watched, address_of, end, look
from gateway.testing import wait_until

PIECE = bytes(64 * 1024)


class Place:
    """A listening socket, what a patrol is told of it, and both ends of its connections."""

    def __init__(self, stack: ExitStack, clients: Clients | None) -> None:
        self._stack = stack
        self._bound = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.watched = Watched("shop", self._bound.getsockname(), 30.0, clients)
        self.patrol = Patrol(lambda: [self.watched], Bounds(Limits(send_timeout=60, send_rate=100)))

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A client's end that takes little, and ours."""
        client = self._stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(self._bound.getsockname())
        client.settimeout(5)
        ours = self._stack.enter_context(self._bound.accept()[0])
        ours.setblocking(False)
        return client, ours

    async def walk(self, *times: float) -> None:
        for now in times:
            await self.patrol.walk_once(now)


@pytest.fixture
def place():
    with ExitStack() as stack:
        yield Place(stack, None)


@pytest.fixture
def shared():
    """One where it is known who has exchanges under way."""
    with ExitStack() as stack:
        yield Place(stack, Clients())


def fill(ours: socket.socket) -> None:
    """Write until the system takes no more."""
    try:
        while True:
            ours.send(PIECE)
    except BlockingIOError:
        pass
    wait_until(lambda: look(ours.fileno()).waiting)


def take(client: socket.socket, ours: socket.socket, size: int) -> None:
    """Read until our end knows of so much."""
    goal = look(ours.fileno()).acknowledged + size
    while look(ours.fileno()).acknowledged < goal:
        client.recv(1000)


def is_cut(client: socket.socket) -> bool:
    """Whether the connection was reset."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x07"


def asking(client: socket.socket) -> Request:
    host, port = client.getsockname()
    request = Request(client=host)
    request.client_port = port
    return request


async def test_a_client_that_takes_nothing_is_cut_when_its_time_is_over(place, caplog):
    client, ours = place.connect()
    fill(ours)
    await place.walk(0, 30, 59)
    assert not is_cut(client)
    with caplog.at_level(logging.INFO, "gateway.listeners"):
        await place.walk(60)
    ours.close()
    assert is_cut(client)
    assert caplog.messages == [
        "listener shop: cut a connection of 127.0.0.1: the client took less than 100 bytes/s for 60 s"
    ]


async def test_a_client_that_takes_something_but_too_little_is_cut(place):
    client, ours = place.connect()
    fill(ours)
    await place.walk(0)
    take(client, ours, 3000)
    await place.walk(60)
    ours.close()
    assert is_cut(client)


async def test_a_slow_client_that_keeps_the_rate_is_left_alone_however_long_it_takes(place):
    client, ours = place.connect()
    for minute in range(5):
        fill(ours)
        await place.walk(60 * minute)
        take(client, ours, 20_000)
    assert not is_cut(client)


async def test_one_byte_is_enough_without_a_rate(place):
    place.patrol.bounds = Bounds(Limits(send_timeout=60, send_rate=0))
    client, ours = place.connect()
    fill(ours)
    await place.walk(0)
    take(client, ours, 3000)
    await place.walk(60, 119)
    assert not is_cut(client)
    await place.walk(120)
    ours.close()
    assert is_cut(client)


async def test_nobody_is_cut_who_has_taken_what_waited_at_the_last_look(place):
    """As for a stream of events that happens to have one under way at each look, however few they are."""
    place.patrol.bounds = Bounds(Limits(send_timeout=60, send_rate="1GiB"))
    client, ours = place.connect()
    for minute in range(3):
        fill(ours)
        await place.walk(60 * minute)
        while look(ours.fileno()).waiting:
            take(client, ours, 1)
    assert not is_cut(client)


async def test_zero_switches_it_off(place):
    place.patrol.bounds = Bounds(Limits(send_timeout=0))
    client, ours = place.connect()
    fill(ours)
    await place.walk(0, 1e6)
    assert not is_cut(client)


async def test_connections_of_others_are_left_alone(place):
    """Those to endpoints, say."""
    client, ours = place.connect()
    fill(ours)
    elsewhere = Patrol(lambda: [place.watched._replace(address=("127.0.0.1", 1))], place.patrol.bounds)
    await elsewhere.walk_once(0)
    await elsewhere.walk_once(1000)
    assert not is_cut(client)


async def test_a_listener_on_every_address_knows_its_connections(place):
    client, ours = place.connect()
    place.watched = place.watched._replace(address=("0.0.0.0", place.watched.address[1]))
    fill(ours)
    await place.walk(0, 60)
    ours.close()
    assert is_cut(client)


async def test_a_silent_connection_is_cut_where_nobody_else_does_it(shared, place):
    silent, ours = shared.connect()
    await shared.walk(0, 29)
    assert not is_cut(silent)
    await shared.walk(30)
    ours.close()
    assert is_cut(silent)
    other, _ = place.connect()
    await place.walk(0, 1000)
    assert not is_cut(other), "with HTTP/1 Granian looks after them"


async def test_an_exchange_under_way_may_be_silent(shared):
    client, _ = shared.connect()
    shared.watched.clients.enter(asking(client))
    await shared.walk(0, 1000, 2000)
    assert not is_cut(client)


async def test_the_time_of_silence_begins_with_the_end_of_the_last_exchange(shared):
    client, ours = shared.connect()
    await shared.walk(0)
    known = shared.watched.clients.enter(asking(client))
    await shared.walk(29)
    known.leave()
    known.idle_since = 30
    await shared.walk(31, 60)
    assert not is_cut(client)
    await shared.walk(61)
    ours.close()
    assert is_cut(client)


async def test_what_was_handed_over_as_a_whole_may_still_pass(shared):
    client, ours = shared.connect()
    shared.watched.clients.enter(asking(client)).leave()
    for time in (0, 30, 60):
        fill(ours)
        await shared.walk(time)
        take(client, ours, 20_000)
    assert not is_cut(client)


async def test_a_client_whose_streams_all_stalled_loses_its_connection(shared):
    client, ours = shared.connect()
    shared.watched.clients.enter(asking(client)).leave(has_stalled=True)
    await shared.walk(0)
    ours.close()
    assert is_cut(client)


async def test_a_stalled_stream_beside_others_that_go_on_does_not_cost_the_connection(shared):
    client, ours = shared.connect()
    clients = shared.watched.clients
    clients.enter(asking(client))
    for _ in range(MAX_STALLED):
        clients.enter(asking(client)).leave(has_stalled=True)
    await shared.walk(0)
    assert not is_cut(client)
    clients.enter(asking(client)).leave(has_stalled=True)
    await shared.walk(1)
    ours.close()
    assert is_cut(client)


async def test_who_has_more_exchanges_under_way_than_streams_loses_the_connection(shared):
    client, ours = shared.connect()
    clients = shared.watched.clients
    for _ in range(MAX_LIVE):
        assert not clients.enter(asking(client)).is_condemned
    assert clients.enter(asking(client)).is_condemned
    await shared.walk(0)
    ours.close()
    assert is_cut(client)


async def test_who_has_left_is_forgotten(shared):
    client, ours = shared.connect()
    clients = shared.watched.clients
    clients.enter(asking(client)).leave()
    peer = address_of(client.getsockname())
    await shared.walk(0)
    assert clients.find(peer) is not None
    client.close()
    ours.close()
    await shared.walk(1)
    assert clients.find(peer) is None


@pytest.mark.parametrize(
    ("settings", "is_kept"),
    [
        ({"bind": ":80"}, False),
        ({"bind": ":80", "http": "auto"}, True),
        ({"bind": ":80", "http": "2"}, True),
        ({"bind": ":80", "http": "1", "tls": {"cert": "a", "key": "b"}}, True),
        ({"bind": "unix:/run/gateway.sock", "http": "auto"}, False),
    ],
)
def test_exchanges_are_kept_track_of_where_granian_has_no_limit_and_clients_have_addresses(settings, is_kept):
    assert (Clients.of(Listener.model_validate(settings)) is not None) is is_kept


def test_a_descriptor_that_is_anothers_by_now_is_not_touched(place):
    _, ours = place.connect()
    seen = look(ours.fileno())
    other, others = place.connect()
    os.dup2(others.fileno(), ours.fileno())
    assert end(seen) is False
    assert not is_cut(other)


def test_what_is_no_tcp_connection_is_not_looked_at(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening, open(tmp_path / "file", "w") as file:
        assert look(listening.fileno()) is None
        assert look(file.fileno()) is None
        number = file.fileno()
    assert look(number) is None
    one, two = socket.socketpair()
    with one, two:
        assert look(one.fileno()) is None
