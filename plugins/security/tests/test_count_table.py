"""count_table: what is under way, in several processes at once, when one of them is killed, and when the table is
full."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal

import pytest
from gateway_security import count_table, shared_locks
from gateway_security.count_table import FULL, REFUSED, CountTable
from gateway_security.shared_file import supervisor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FORKED = multiprocessing.get_context("fork")
OWNER = supervisor()
"""Children of these tests have another parent, and are to be workers of the same gateway all the same."""


@pytest.fixture
def make(tmp_path):
    """`make()`: another view of one table, as another worker has it."""
    tables = []

    def open_table(clients: int = 1000) -> CountTable:
        tables.append(CountTable("a test", clients, folder=tmp_path, owner=OWNER))
        return tables[-1]

    yield open_table
    for table in tables:
        table.close()


def test_as_many_as_are_allowed_come_in_and_one_more_when_one_has_left(make):
    table = make()
    place = table.place(b"a")
    slots = [table.enter(place, 3) for _ in range(4)]
    assert slots[3] == REFUSED
    table.leave(slots[0])
    assert table.enter(place, 3) == slots[0]
    assert table.enter(place, 3) == REFUSED


def test_all_who_have_the_table_count_together(make):
    one, other = make(), make()
    assert one.enter(one.place(b"a"), 2) >= 0
    assert other.enter(other.place(b"a"), 2) >= 0
    assert one.enter(one.place(b"a"), 2) == REFUSED
    assert other.count(other.place(b"a")) == 2


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([b"a", b"b", b"c"]), st.booleans()), max_size=60))
def test_the_table_counts_as_a_dictionary_would(make, steps):
    tables, run = (make(), make()), os.urandom(8)
    held: dict[tuple[int, bytes], list[int]] = {}
    for worker, key, comes in steps:
        table, mine = tables[worker], held.setdefault((worker, key), [])
        total = sum(len(slots) for (_, other), slots in held.items() if other == key)
        if comes:
            slot = table.enter(table.place(run + key), 3)
            assert (slot == REFUSED) == (total == 3)
            if slot >= 0:
                mine.append(slot)
        elif mine:
            table.leave(mine.pop())
        total = sum(len(slots) for (_, other), slots in held.items() if other == key)
        assert table.count(table.place(run + key)) == total
    for table in tables:
        table.close()


def test_more_clients_at_once_than_there_is_room_for_are_refused(make):
    table = make(clients=8)  # one group
    slots = [table.enter(table.place(b"%d" % number), 5) for number in range(17)]
    assert sorted(slots[:16]) == list(range(16))
    assert slots[16] == FULL
    table.leave(slots[3])
    assert table.enter(table.place(b"16"), 5) == slots[3]
    assert table.enter(table.place(b"3"), 5) == FULL


def test_what_a_worker_that_was_killed_had_under_way_is_given_back(tmp_path, make):
    table, ready = make(), FORKED.Event()
    kept = table.enter(table.place(b"a"), 10)

    def hold() -> None:
        mine = CountTable("a test", 1000, folder=tmp_path, owner=OWNER)
        for _ in range(7):
            mine.enter(mine.place(b"a"), 10)
        mine.enter(mine.place(b"b"), 10)
        ready.set()
        signal.pause()

    process = FORKED.Process(target=hold)
    process.start()
    assert ready.wait(10)
    assert table.count(table.place(b"a")) == 8
    table.sweep()
    assert table.count(table.place(b"a")) == 8
    process.kill()
    process.join()
    table.sweep()
    assert table.count(table.place(b"a")) == 1
    assert table.count(table.place(b"b")) == 0
    table.leave(kept)
    assert table.count(table.place(b"a")) == 0


def test_the_next_worker_gives_back_what_one_that_was_killed_had(tmp_path, make):
    table = make()

    def die() -> None:
        mine = CountTable("a test", 1000, folder=tmp_path, owner=OWNER)
        mine.enter(mine.place(b"a"), 10)
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORKED.Process(target=die)
    process.start()
    process.join()
    assert table.count(table.place(b"a")) == 1
    make()
    assert table.count(table.place(b"a")) == 0


@pytest.mark.parametrize("written", ["nothing", "the ledger", "both"])
def test_one_that_dies_within_a_step_leaves_a_table_that_counts_right(tmp_path, make, written):
    table = make()
    place = table.place(b"a")
    assert table.enter(place, 10) >= 0

    def die() -> None:
        mine = CountTable("a test", 1000, folder=tmp_path, owner=OWNER)
        slot = mine.enter(mine.place(b"a"), 10)
        mine.take_lock(mine.place(b"a").lock)
        if written != "nothing":
            mine._mine[slot] += 1
        if written == "both":
            mine._counts[slot] += 1
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORKED.Process(target=die)
    process.start()
    process.join()
    assert table.count(place) == (2 if written == "nothing" else 3)
    table.sweep()
    assert table.count(place) == 1


def test_a_worker_that_leaves_takes_its_counts_along(make):
    table, other = make(), make()
    slot = other.enter(other.place(b"a"), 10)
    other.close()
    assert table.count(table.place(b"a")) == 0
    other.leave(slot)  # an exchange that ends late
    other.sweep()
    assert other.enter(other.place(b"a"), 10) == FULL
    assert table.enter(table.place(b"a"), 10) >= 0
    assert table.count(table.place(b"a")) == 1


def test_processes_that_come_and_go_at_once_are_never_more_than_allowed_and_leave_nothing(
    tmp_path, make, monkeypatch
):
    monkeypatch.setattr(shared_locks, "WAIT_SECONDS", 60)  # a busy machine lets a holder wait for its turn
    table, start, results = make(), FORKED.Event(), FORKED.Queue()
    most = 6

    def come_and_go(seed: int) -> None:
        mine, chance = CountTable("a test", 1000, folder=tmp_path, owner=OWNER), random.Random(seed)
        place, held, highest = mine.place(b"a"), [], 0
        start.wait()
        for _ in range(4000):
            if held and chance.random() < 0.5:
                mine.leave(held.pop())
            elif (slot := mine.enter(place, most)) >= 0:
                held.append(slot)
            highest = max(highest, mine.count(place))
        while held:
            mine.leave(held.pop())
        results.put(highest)

    processes = [FORKED.Process(target=come_and_go, args=(seed,)) for seed in range(3)]
    for process in processes:
        process.start()
    start.set()
    highest = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert max(highest) == most
    assert table.count(table.place(b"a")) == 0


def test_more_workers_than_there_are_places_for_are_told(make, monkeypatch):
    monkeypatch.setattr(count_table, "WORKERS", 2)
    first = make()
    make()
    with pytest.raises(Exception, match="more than 2 workers"):
        make()
    first.close()
    make()
