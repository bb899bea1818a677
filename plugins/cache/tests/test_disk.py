"""The store on disk: shared by workers, there after a restart, and never in the way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest
from gateway_cache.entry import Entry
from gateway_cache.policy import Terms
from gateway_cache.purging import Purge
from gateway_cache.stores.disk import Disk
from gateway_cache.stores.memory import Memory
from gateway_cache.stores.records import read_meta, read_record, record_of
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigurationError
from gateway.testing import reply, site_text, wait_until

FRESH = b"Cache-Control: max-age=600"
URL = b"http://a.example/x"
TERMS = Terms(60.0, False, True, 0.0, 5.0, frozenset())


def entry(body: bytes = b"one", born: float = 0.0, vary: bytes | None = None) -> Entry:
    headers = [(b"content-type", b"text/x"), (b"x-latin", b"caf\xe9"), (b"cache-tag", b"t1, t2")]
    names = () if vary is None else (b"accept",)
    made = Entry(("route", "app"), 200, headers, TERMS, names, (vary,) if names else (), born or time.time())
    return made.with_body(body)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "cache", 4 << 20)
    disk.open()
    yield disk
    asyncio.run(disk.close())


def written(disk: Disk) -> None:
    """Wait until the thread has written what it was given."""
    disk._database.writer.submit(int).result()


def test_memory_forgets_what_a_response_that_does_not_fit_replaces():
    memory = Memory(5000)
    assert memory.put(URL, entry(b"old"))
    assert not memory.put(URL, entry(bytes(5000)))
    assert memory.find(URL, ("route", "app"), []) is None


def test_what_was_put_is_found(disk):
    disk.put(URL, entry())
    written(disk)
    found = disk.find(URL, lambda _: True)
    assert (found.body, found.terms, found.headers, found.tags) == (b"one", TERMS, entry().headers, {b"t1", b"t2"})
    assert disk.find(b"http://a.example/y", lambda _: True) is None


def test_variants_lie_side_by_side_and_the_newest_wanted_one_is_found(disk):
    for number, vary in enumerate((b"a", b"b", b"a")):
        disk.put(URL, entry(b"%d" % number, vary=vary, born=time.time() + number))
    written(disk)
    assert disk.find(URL, lambda item: item.selecting == (b"a",)).body == b"2"
    assert disk.find(URL, lambda item: item.selecting == (b"b",)).body == b"1"
    assert disk.find(URL, lambda _: True).body == b"2"
    assert disk.find(URL, lambda _: False) is None


def test_another_app_of_the_process_shares_the_database(disk, tmp_path):
    other = Disk(tmp_path / "cache", 4 << 20)
    other.open()
    disk.put(URL, entry())
    written(disk)
    assert other.find(URL, lambda _: True).body == b"one"
    asyncio.run(other.close())
    assert disk.find(URL, lambda _: True) is not None


def test_a_store_that_is_larger_after_a_reload_has_its_room_at_once(disk, tmp_path):
    larger = Disk(tmp_path / "cache", 32 << 20)
    larger.open()
    fill(larger, 20 << 20)
    assert disk.find(b"http://a.example/0", lambda _: True) is not None
    asyncio.run(larger.close())


@pytest.mark.parametrize("first", ["find", "put"])
def test_other_processes_follow_when_the_store_has_grown(disk, tmp_path, first):
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_WORKER, tmp_path / "cache", first],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "open\n"
        larger = Disk(tmp_path / "cache", 64 << 20)
        larger.open()
        fill(larger, 40 << 20)
        said, _ = other.communicate("go on\n", timeout=20)
    assert said == "100000\n"
    assert larger.find(b"http://a.example/other", lambda _: True) is not None
    asyncio.run(larger.close())


def fill(disk: Disk, size: int) -> None:
    for number in range(size // 100_000):
        disk.put(b"http://a.example/%d" % number, entry(bytes(100_000)))
    written(disk)


OTHER_WORKER = """
import asyncio, sys, time
from pathlib import Path
from gateway_cache.entry import Entry
from gateway_cache.policy import Terms
from gateway_cache.stores.disk import Disk

disk, late = Disk(Path(sys.argv[1]), 64 << 20), b"http://a.example/390"
disk._max_bytes = 4 << 20
disk.open()
print("open", flush=True)
sys.stdin.readline()
if sys.argv[2] == "find":
    disk.find(late, lambda _: True)
disk._max_bytes = 64 << 20
entry = Entry(("route", "app"), 200, [], Terms(60.0, False, True, 0.0, 5.0, frozenset()), (), (), time.time())
disk.put(b"http://a.example/other", entry.with_body(b"x"))
disk._database.writer.submit(int).result()
print(len(disk.find(late, lambda _: True).body), flush=True)
asyncio.run(disk.close())
"""
"""A worker that has the map of before, and looks for what lies beyond it, or writes, or both."""


def test_the_oldest_go_when_there_is_no_room(disk):
    for number in range(100):
        disk.put(b"http://a.example/%d" % number, entry(bytes(100_000)))
    written(disk)
    assert disk.find(b"http://a.example/0", lambda _: True) is None
    assert disk.find(b"http://a.example/99", lambda _: True) is not None


def test_what_has_come_again_is_not_old(disk):
    for number in range(100):
        disk.put(b"http://a.example/%d" % number, entry(bytes(100_000)))
        disk.put(URL, entry(b"busy"))
    written(disk)
    assert disk.find(URL, lambda _: True).body == b"busy"


def test_one_that_is_too_large_is_left_out(disk):
    disk.put(URL, entry(bytes(2 << 20)))
    written(disk)
    assert disk.find(URL, lambda _: True) is None


@pytest.mark.parametrize(
    "message", [{"urls": [URL.decode()]}, {"prefixes": ["http://a."]}, {"tags": ["t2"]}, {"all": True}]
)
def test_what_is_purged_is_not_found_from_that_moment_on(disk, message):
    disk.put(URL, entry(born=time.time() - 1))
    written(disk)
    disk.drop(Purge(message))
    assert disk.find(URL, lambda _: True) is None
    written(disk)
    disk.put(URL, entry(b"new", born=time.time() + 1))
    written(disk)
    assert disk.find(URL, lambda _: True).body == b"new"


@pytest.mark.parametrize("message", [{"urls": [URL.decode()]}, {"tags": ["t2"]}])
def test_a_new_response_with_an_age_is_found_after_a_purge(disk, message):
    disk.drop(Purge(message))
    disk.put(URL, entry(b"new", born=time.time() - 50))
    written(disk)
    assert disk.find(URL, lambda _: True).body == b"new"


def test_what_waited_to_be_written_when_it_was_purged_is_not_found(disk):
    go_on = threading.Event()
    disk._database.writer.submit(go_on.wait)
    disk.put(URL, entry(born=time.time() + 1))
    disk._delete = lambda *_: None  # as long as the deletion is still to come
    disk.drop(Purge({"urls": [URL.decode()]}))
    go_on.set()
    written(disk)
    assert disk.find(URL, lambda _: True) is None


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be used as a store"):
        Disk(tmp_path / "file" / "cache", 1 << 20).open()


def test_a_database_that_is_damaged_is_made_anew(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(os.urandom(1 << 16))
    disk = Disk(folder, 4 << 20)
    disk.open()
    disk.put(URL, entry())
    written(disk)
    assert disk.find(URL, lambda _: True).body == b"one"
    asyncio.run(disk.close())


@given(st.binary(max_size=300))
def test_bytes_that_are_no_record_are_a_miss(value):
    assert read_meta(value) is None
    assert read_record(value, URL) is None


@given(st.data())
def test_a_record_in_which_one_byte_is_wrong_is_a_miss(data):
    record = bytearray(record_of(URL, entry(born=5.0), 1))
    place = data.draw(st.integers(8, len(record) - 1))
    record[place] ^= data.draw(st.integers(1, 255))
    assert read_record(bytes(record), URL) is None


def test_a_record_cut_short_is_a_miss():
    record = record_of(URL, entry(), 1)
    assert all(read_record(record[:length], URL) is None for length in range(len(record)))


def test_a_restart_finds_the_store_warm(gateway, origin, tmp_path):
    app = origin(reply(b"one", FRESH))
    settings = {"use": "cache", "disk": str(tmp_path / "store")}
    site = gateway(endpoints=[app], workers=2, plugins=[settings])
    site.get("/")
    asked = len(app.requests)
    wait_until(lambda: site.get("/").body == b"one")
    assert site.restart().returncode == 0
    for _ in range(8):
        answer = site.get("/")
        assert b"; hit" in answer.header("cache-status")
    assert len(app.requests) == asked
    done = site.command("purge", "--all")
    assert done.returncode == 0
    wait_until(lambda: site.get("/") and len(app.requests) > asked)


def test_a_store_that_cannot_be_opened_refuses_the_start(gateway, origin, tmp_path):
    from gateway.testing import run_command

    (tmp_path / "file").write_text("")
    plugins = [{"use": "cache", "disk": str(tmp_path / "file" / "x")}]
    (tmp_path / "site.toml").write_text(site_text([origin()], plugins=plugins))
    done = run_command("run", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert "cannot be used as a store" in done.stderr
