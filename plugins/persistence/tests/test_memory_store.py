"""memory: bounded, forgetful in time, and the same in every worker whatever order messages come in."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

from gateway_persistence.stores.memory import BATCH, MemoryStore
from gateway_persistence.stores.table import LatestTable
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus import Bus


class Wire:
    """The way between workers: messages wait until they are let through, each worker's in their order."""

    def __init__(self) -> None:
        self.buses: list[Bus] = []
        self.waiting: list[tuple[int, str, str]] = []

    def worker(self, is_first=False):
        """An App in a worker of its own."""
        number, wire = len(self.buses), self

        class WorkerBus(Bus):
            def publish(self, topic, message, keep=""):
                self.deliver(topic, message, keep)
                for other in range(len(wire.buses)):
                    if other != number:
                        wire.waiting.append((other, topic, json.dumps(message)))

        self.buses.append(WorkerBus())
        return SimpleNamespace(bus=self.buses[-1], once=lambda name: is_first)

    def pass_one(self, place=0):
        """Let a message through: the first one for the receiver of the one in that place."""
        receiver = self.waiting[place % len(self.waiting)][0]
        place = next(n for n, waiting in enumerate(self.waiting) if waiting[0] == receiver)
        _, topic, message = self.waiting.pop(place)
        self.buses[receiver].deliver(topic, json.loads(message))

    def pass_all(self):
        for _ in range(10_000):
            if not self.waiting:
                return
            self.pass_one()
        raise AssertionError("the workers talk without an end")


def open_store(app, clock, ttl=80.0, size=10_000):
    store = MemoryStore("test", ttl, size, clock)
    store.open(app)
    return store


def test_a_binding_holds_and_moves_only_from_where_it_is(clock):
    store = open_store(Wire().worker(), clock)
    assert store.get("s") is None
    assert store.put("s", "a", replacing="") == "a"
    assert store.put("s", "b", replacing="") == "a"
    assert store.put("s", "b", replacing="x") == "a"
    assert store.put("s", "b", replacing="a") == "b"
    assert store.put("s", "c", replacing=None) == "c"
    assert store.get("s") == "c"


def test_a_session_that_is_not_used_is_forgotten(clock):
    store = open_store(Wire().worker(), clock)
    store.put("s", "a", replacing="")
    for _ in range(5):
        clock.now += 79
        assert store.get("s") == "a"
    clock.now += 81
    assert store.get("s") is None
    assert store.put("s", "b", replacing="") == "b"


def test_use_in_one_worker_keeps_a_session_alive_in_all(clock):
    wire = Wire()
    one, other = open_store(wire.worker(), clock), open_store(wire.worker(), clock)
    one.put("s", "a", replacing="")
    wire.pass_all()
    for _ in range(5):
        clock.now += 60
        one.get("s")
    wire.pass_all()
    clock.now += 60
    assert other.get("s") == "a"


def test_the_longest_unused_goes_when_there_are_too_many(clock):
    store = open_store(Wire().worker(), clock, size=3)
    for key in "abc":
        store.put(key, "one", replacing="")
    store.get("a")
    store.put("d", "one", replacing="")
    assert [key for key in "abcd" if store.get(key)] == ["a", "c", "d"]


def test_a_table_never_holds_more_than_its_size():
    table: LatestTable[int] = LatestTable(10)
    for number in range(1000):
        table.put(str(number % 37), number)
    assert len(table) == 10


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from("st"),
            st.sampled_from("abc"),
            st.sampled_from(["", "a", "b", None]),
            st.integers(0, 30),
        ),
        max_size=25,
    ),
    st.lists(st.integers(0, 50), max_size=60),
)
def test_workers_agree_when_all_is_said(tools, steps, order):
    wire, clock = Wire(), tools.Clock()
    stores = [open_store(wire.worker(), clock) for _ in range(3)]
    turns = iter(order)
    for number, key, endpoint, replacing, seconds in steps:
        clock.now += seconds / 1000
        stores[number].get(key)
        stores[number].put(key, endpoint, replacing=replacing)
        for place in [next(turns, None), next(turns, None)]:
            if place is not None and wire.waiting:
                wire.pass_one(place)
    wire.pass_all()
    for key in "st":
        assert len({store.get(key) for store in stores}) == 1


def test_of_two_first_picks_at_once_the_earlier_one_holds_everywhere(clock):
    wire = Wire()
    one, other = open_store(wire.worker(), clock), open_store(wire.worker(), clock)
    wire.pass_all()
    one.put("s", "a", replacing="")
    clock.now += 0.001
    other.put("s", "b", replacing="")
    wire.pass_all()
    assert one.get("s") == other.get("s") == "a"


async def test_a_new_worker_learns_what_there_is(clock):
    wire = Wire()
    first, second = open_store(wire.worker(is_first=True), clock), open_store(wire.worker(), clock)
    for number in range(2 * BATCH + 1):
        first.put(str(number), "a", replacing="")
    wire.pass_all()
    assert len(second) == 2 * BATCH + 1
    for is_first in (False, True):
        new = open_store(wire.worker(is_first), clock)
        wire.pass_all()
        await asyncio.gather(*first._answers, *second._answers)
        wire.pass_all()
        assert len(new) == 2 * BATCH + 1
        new.close()


def test_a_new_worker_that_has_not_heard_yet_does_not_move_a_session(clock):
    wire = Wire()
    old = open_store(wire.worker(), clock)
    old.put("s", "a", replacing="")
    wire.waiting.clear()
    new = MemoryStore("test", 80.0, 1000, clock)
    new._app = app = wire.worker()
    app.bus.subscribe("persistence.sessions.test", new._hear)
    clock.now += 1
    assert new.put("s", "b", replacing="") == "b"
    wire.pass_all()
    assert old.get("s") == new.get("s") == "a"


def test_a_reload_takes_over_everything_at_once_and_tells_nobody(clock):
    wire = Wire()
    app = wire.worker()
    wire.worker()
    old = open_store(app, clock)
    old.put("s", "a", replacing="")
    wire.waiting.clear()
    new = open_store(app, clock)
    assert new.get("s") == "a"
    assert wire.waiting == []
    old.close()
    assert new.put("t", "b", replacing="") == "b"
    assert old.get("t") is None


def test_plugins_of_other_methods_and_names_do_not_mix(clock):
    app = Wire().worker()
    one, other = open_store(app, clock), MemoryStore("another", 80.0, 10, clock)
    other.open(app)
    one.put("s", "a", replacing="")
    assert other.get("s") is None
