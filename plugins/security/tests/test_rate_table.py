"""rate_table: decisions over shared memory, by a clock that is passed in; several processes at once; a full
table."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

import pytest
from gateway_security import rate_table, shared_locks, shared_table
from gateway_security.gcra import SECOND, Limit
from gateway_security.rate_table import RateTable
from gateway_security.shared_file import supervisor
from gateway_security.shared_locks import LockTimeout, try_lock, unlock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LIMIT = Limit.of("100/h")
FORKED = multiprocessing.get_context("fork")
OWNER = supervisor()
"""Children of these tests have another parent, and are to be workers of the same gateway all the same."""
NOW = 5 * SECOND


@pytest.fixture
def make(tmp_path):
    """`make()`: another view of one table, as another worker has it."""
    tables = []

    def open_table(clients: int = 1000, meaning: str = "a test") -> RateTable:
        tables.append(RateTable(meaning, clients, folder=tmp_path, owner=OWNER))
        return tables[-1]

    yield open_table
    for table in tables:
        table.close()


def passes(table: RateTable, key: bytes, limit: Limit = LIMIT, now: int = NOW) -> bool:
    return table.take(table.place(key), limit, now) <= limit.patience


def test_exactly_the_burst_passes_at_once(make):
    table = make()
    assert [passes(table, b"a") for _ in range(150)] == [True] * 100 + [False] * 50


def test_each_key_has_a_count_of_its_own(make):
    table = make()
    assert all(passes(table, b"%d" % number) for number in range(100) for _ in range(3))


def test_all_who_have_the_table_count_together(make):
    one, other = make(), make()
    assert sum(passes(random.Random(7).choice((one, other)), b"a") for _ in range(250)) == 100


def test_time_that_goes_on_lets_one_after_the_other_in(make):
    table = make()
    for _ in range(100):
        passes(table, b"a")
    for later in range(1, 6):
        now = NOW + later * LIMIT.interval
        assert not passes(table, b"a", now=now - 1)
        assert [passes(table, b"a", now=now) for _ in range(2)] == [True, False]


def test_after_a_long_pause_it_is_as_if_nobody_had_come(make):
    table = make()
    for _ in range(100):
        passes(table, b"a")
    assert sum(passes(table, b"a", now=NOW + 10**15) for _ in range(150)) == 100


def test_what_is_refused_is_not_charged(make):
    table = make()
    place = table.place(b"a")
    overs = [table.take(place, LIMIT, NOW) for _ in range(103)]
    assert overs[100:] == [LIMIT.interval] * 3


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 40 * SECOND)), max_size=40))
def test_the_table_says_what_the_arithmetic_says(make, visits):
    table, limit = make(), Limit.of("6/m", 3, 5.0)
    paid_at: dict[bytes, int] = {}
    run, now = os.urandom(8), NOW
    for key, pause in visits:
        now += pause
        over = limit.over(paid_at.get(key, 0), now)
        if over <= limit.patience:
            paid_at[key] = limit.charged(paid_at.get(key, 0), now)
        assert table.take(table.place(run + key), limit, now) == over
        assert table.take_all([table.place(run + key + b"2")], [limit], now) == [over]


def test_of_several_limits_all_or_none_are_charged(make):
    table = make()
    per_client, of_all = Limit.of("10/h"), Limit.of("25/h")

    def ask(client: bytes) -> list[bool]:
        limits = (per_client, of_all)
        overs = table.take_all([table.place(client), table.place(b"all")], limits, NOW)
        return [over <= 0 for over in overs]

    assert [ask(b"a") for _ in range(12)] == [[True, True]] * 10 + [[False, True]] * 2
    assert [ask(b"b") for _ in range(10)] == [[True, True]] * 10
    assert [ask(b"c") for _ in range(6)] == [[True, True]] * 5 + [[True, False]]
    # What was refused for the sake of all has not been counted against c.
    assert table.take(table.place(b"c"), per_client, NOW) == 5 * per_client.interval - per_client.tolerance


def test_several_limits_do_not_take_each_others_place_in_a_full_group(make):
    table = make(clients=8)  # one group
    assert table.slots == 16
    for number in range(16):
        passes(table, b"%d" % number)
    limits = [Limit.of("2/h")] * 8
    places = [table.place(b"new %d" % number) for number in range(8)]
    asked = [table.take_all(places, limits, NOW) for _ in range(3)]
    assert [all(over <= 0 for over in overs) for overs in asked] == [True, True, False]


def test_a_full_table_forgets_those_whose_time_is_over_first_and_then_who_owes_least(make, caplog):
    table = make(clients=8)
    for number in range(16):
        for _ in range(number + 1):
            passes(table, b"%d" % number)
    # The first has paid, the others have not.
    now = NOW + LIMIT.interval
    passes(table, b"new", now=now)
    assert table.evicted == 0
    assert passes(table, b"newer", now=now)
    assert table.evicted == 1
    assert "raise `clients`" in caplog.text
    # Deepest in debt, and still known.
    assert table.take(table.place(b"15"), LIMIT, now) == 15 * LIMIT.interval - LIMIT.tolerance


def test_a_flood_of_new_keys_does_not_free_one_that_is_refused(make):
    table = make(clients=8)
    while passes(table, b"bad"):
        pass
    for number in range(2000):
        passes(table, b"flood %d" % number)
    assert not passes(table, b"bad")


def test_keys_that_fall_into_one_group_are_told_apart(make):
    table = make(clients=8)
    places = [table.place(b"%d" % number) for number in range(16)]
    assert len({place.start for place in places}) == 1
    for _ in range(100):
        assert all(table.take(place, LIMIT, NOW) <= 0 for place in places)
    assert not any(table.take(place, LIMIT, NOW) <= 0 for place in places)


def test_a_key_is_not_found_across_two_others(make):
    table = make(clients=8)
    first, second, third = (table.place(key) for key in (b"a", b"b", b"c"))
    table.put(first, 0)
    table.put(second, 1)
    third.digest = first.digest[8:] + second.digest[:8]
    assert table.find(third) == -1
    table.put(third, 5)
    assert table.find(third) == 5


def test_a_place_that_was_given_to_another_key_is_noticed(make):
    table = make(clients=8)
    place = table.place(b"a")
    table.take(place, LIMIT, NOW)
    later = NOW + 10**15
    for number in range(16):
        passes(table, b"%d" % number, now=later)
    assert table.take(place, LIMIT, later) == -LIMIT.tolerance
    assert table.find(place) >= 0


def test_each_table_hashes_with_a_secret_of_its_own(make):
    one, other = make(), make(meaning="another")
    assert one.place(b"a").digest != other.place(b"a").digest
    assert one.place(b"a").digest == make().place(b"a").digest


def test_processes_that_rush_in_at_once_get_exactly_the_burst_together(tmp_path, make, monkeypatch):
    monkeypatch.setattr(shared_locks, "WAIT_SECONDS", 60)  # a busy machine lets a holder wait for its turn
    make()
    burst, start, results = 60_000, FORKED.Event(), FORKED.Queue()
    limit = Limit.of("1/d", burst)

    def rush() -> None:
        table = RateTable("a test", 1000, folder=tmp_path, owner=OWNER)
        place = table.place(b"a")
        start.wait()
        results.put(sum(table.take(place, limit, NOW) <= 0 for _ in range(burst // 2)))

    processes = [FORKED.Process(target=rush) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    passed = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(passed) == burst


def test_a_process_that_dies_while_it_decides_leaves_a_table_that_works(tmp_path, make):
    table = make()

    def die() -> None:
        mine = RateTable("a test", 1000, folder=tmp_path, owner=OWNER)
        mine.take_lock(mine.place(b"a").lock)
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORKED.Process(target=die)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert sum(passes(table, b"a") for _ in range(150)) == 100


def test_a_process_that_is_stopped_while_it_decides_does_not_stop_the_others_for_ever(tmp_path, make):
    table, ready = make(), FORKED.Event()

    def stop() -> None:
        mine = RateTable("a test", 1000, folder=tmp_path, owner=OWNER)
        mine.take_lock(mine.place(b"a").lock)
        ready.set()
        signal.pause()

    process = FORKED.Process(target=stop)
    process.start()
    assert ready.wait(10)
    began = time.monotonic()
    with pytest.raises(LockTimeout, match="another worker"):
        passes(table, b"a")
    assert time.monotonic() - began < 5
    process.kill()
    process.join()
    assert passes(table, b"a")


def test_a_lock_that_is_held_is_not_given_twice(make):
    table = make()
    lock = table.place(b"a").lock
    assert try_lock(lock) == 0
    assert try_lock(lock) != 0
    unlock(lock)
    assert try_lock(lock) == 0
    unlock(lock)


def test_the_log_tells_of_a_full_table_once_in_a_while(make, caplog, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(rate_table.time, "monotonic", lambda: clock[0])
    table = make(clients=8)
    for number in range(40):
        passes(table, b"%d" % number)
    assert caplog.text.count("raise `clients`") == 1
    clock[0] += shared_table.FULL_EVERY_SECONDS
    passes(table, b"one more")
    assert caplog.text.count("raise `clients`") == 2
