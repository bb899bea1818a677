"""Bodies that are too long for memory lie in files: while they arrive, afterwards, and when something is wrong."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest
from gateway_cache import fetching
from gateway_cache.entry import Entry
from gateway_cache.fetching import Fetch
from gateway_cache.files import Spill
from gateway_cache.policy import Terms
from gateway_cache.purging import Purge
from gateway_cache.stores.disk import Disk
from gateway_cache.window import Window
from hypothesis import given
from hypothesis import strategies as st

from gateway import ResponseCut
from gateway.testing import CutShort, reply, wait_until

FRESH = b"Cache-Control: max-age=600"
LONG = random.Random(7).randbytes(3 << 20)
CHUNKED = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n"
URL = b"http://a.example/x"


@pytest.fixture
def started(gateway, origin, tmp_path):
    """A gateway that stores longer bodies than 100 kB in files, its origin, and the folder of files."""

    def start(script, folder: Path = tmp_path / "store", **settings):
        app = origin(script)
        plugin = {"use": "cache", "disk": str(folder), "max_entry": "100kB", **settings}
        return gateway(endpoints=[app], workers=1, plugins=[plugin]), app, folder / "bodies"

    return start


def told(answer) -> bytes:
    return answer.header("cache-status").split(b"; ttl")[0].removeprefix(b"gateway; ")


def stored(site) -> None:
    """Until what was fetched is a hit."""
    wait_until(lambda: told(get(site)) == b"hit")


def get(site, *fields: str):
    lines = "".join(f"{field}\r\n" for field in ("Host: a.example", *fields))
    return site.request(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_long_body_is_served_from_a_file_as_from_memory(started, is_announced):
    whole = reply(LONG, FRESH, b'ETag: "a"')
    chunked = CHUNKED.replace(b"\r\n\r\n", b'\r\nETag: "a"\r\n\r\n') + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG)
    site, app, folder = started(whole if is_announced else chunked)
    assert get(site).body == LONG
    stored(site)
    asked = len(app.requests)
    answer = get(site)
    assert (answer.body, answer.header("content-length")) == (LONG, b"%d" % len(LONG))
    part = get(site, "Range: bytes=2000000-2000009")
    assert (part.status, part.body) == (206, LONG[2_000_000:2_000_010])
    unchanged = get(site, 'If-None-Match: "a"')
    assert unchanged.status == 304
    assert len(app.requests) == asked
    assert [path.read_bytes() == LONG for path in files(folder)] == [True]


def test_a_restart_finds_the_files_and_a_purge_removes_them(started):
    site, app, folder = started(reply(LONG, FRESH))
    get(site)
    stored(site)
    assert site.restart().returncode == 0
    stored(site)
    assert (get(site).body, len(app.requests)) == (LONG, 1)
    assert site.command("purge", "--all").returncode == 0
    wait_until(lambda: not files(folder))


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(LONG), lambda path: path.write_bytes(b"x")]
)
def test_a_file_that_is_not_what_it_was_is_a_miss(started, harm):
    site, app, folder = started(reply(LONG, FRESH))
    get(site)
    stored(site)
    asked = len(app.requests)
    harm(files(folder)[0])
    answer = get(site)
    assert (answer.body, told(answer)) == (LONG, b"fwd=uri-miss; fwd-status=200; stored")
    assert len(app.requests) == asked + 1


def test_one_that_is_too_long_for_a_file_passes_and_leaves_nothing(started):
    site, app, folder = started(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG), max_file="2MB")
    assert [get(site).body == LONG for _ in range(2)] == [True, True]
    assert len(app.requests) == 2
    assert files(folder) == []


def test_an_origin_that_dies_in_the_middle_leaves_nothing(started):
    def dying(connection, request):
        connection.send(CHUNKED + b"200000\r\n" + LONG[: 2 << 20])
        connection.close()

    site, app, folder = started(dying)
    for _ in range(2):
        with pytest.raises(CutShort):
            get(site)
    assert files(folder) == []
    app.answer(reply(b"whole", FRESH))
    assert get(site).body == b"whole"


def test_who_comes_late_or_reads_slowly_gets_all_of_it_while_it_arrives(started):
    go_on = threading.Event()

    def slow(connection, request):
        connection.send(CHUNKED + b"%x\r\n%b\r\n" % (len(LONG), LONG))
        connection.wait_for(go_on.is_set)
        connection.send(b"3\r\nend\r\n0\r\n\r\n")

    site, app, folder = started(slow)
    request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    with site.connect() as first, site.connect(receive_buffer=4096) as stalled, site.connect() as late:
        first.send(request)
        stalled.send(request)
        wait_until(lambda: files(folder) and files(folder)[0].stat().st_size > 1 << 20)
        late.send(request)
        for client in (first, late):
            client.wire.take_until(LONG[-64:])
        go_on.set()
        for client in (first, late, stalled):
            assert client.wire.take_until(b"0\r\n\r\n").count(LONG[-64:]) <= 1
    assert len(app.requests) == 1
    stored(site)
    assert get(site).body == LONG + b"end"


def test_a_full_disk_costs_the_store_and_no_request(started, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        site, app, bodies = started(reply(LONG, FRESH), folder, disk_size="64MB")
        assert [get(site).body == LONG for _ in range(3)] == [True] * 3
        assert files(bodies) == []
        assert "is not stored: [Errno 28] No space left on device" in site.log
        app.answer(reply(b"short", FRESH))
        assert [told(site.get("/short")) for _ in range(2)] == [b"fwd=uri-miss; fwd-status=200; stored", b"hit"]
        assert site.stop() == 0
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def spilled(disk: Disk, size: int) -> Entry:
    spill = Spill(disk.bodies, size)
    terms = Terms(60.0, False, False, 0.0, 0.0, frozenset())
    entry = Entry(("route", "app"), 200, [], terms, (), (), time.time())

    async def write():
        await spill.write([bytes(size)])
        return entry.with_file(await spill.finish())

    return asyncio.run(write())


def test_files_count_for_the_room_and_the_oldest_go(tmp_path):
    disk = Disk(tmp_path / "cache", 10 << 20)
    disk.open()
    kept = []
    for number in range(12):
        kept.append(spilled(disk, 1 << 20))
        disk.put(b"%b/%d" % (URL, number), kept[-1])
    asyncio.run(disk.close())
    there = [entry.file.open() is not None for entry in kept]
    assert there == sorted(there)  # the oldest are gone
    assert 7 <= sum(there) <= 9


def test_what_takes_the_place_of_a_response_removes_its_file_and_what_confirms_it_does_not(tmp_path):
    disk = Disk(tmp_path / "cache", 10 << 20)
    disk.open()
    one, other = spilled(disk, 1000), spilled(disk, 2000)
    disk.put(URL, one)
    disk.put(URL, one.validated([(b"x-new", b"1")], one.terms, time.time()).closed())
    disk._database.writer.submit(int).result()
    assert one.file.open() is not None
    assert disk.find(URL, lambda _: True).file == one.file
    disk.put(URL, other)
    disk.drop(Purge({"urls": ["http://b.example/"]}))
    asyncio.run(disk.close())
    assert (one.file.open(), other.file.open() is not None) == (None, True)


def test_files_of_nobody_are_swept_away_in_time(tmp_path):
    disk = Disk(tmp_path / "cache", 10 << 20)
    disk.open()
    mine = spilled(disk, 1000)
    disk.put(URL, mine)
    orphan, new = disk.bodies / "orphan", disk.bodies / "new.part"
    for path in (orphan, new):
        path.write_bytes(b"x")
    asyncio.run(disk.close())
    for path in (orphan, Path(mine.file.path)):
        os.utime(path, (1, 1))
    disk.open()
    asyncio.run(disk.close())
    assert (orphan.exists(), new.exists(), Path(mine.file.path).exists()) == (False, True, True)


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=20), st.data())
def test_a_window_has_what_was_not_dropped(pieces, data):
    window, whole = Window(), b"".join(pieces)
    for piece in pieces:
        window.add(piece)
    window.drop(data.draw(st.integers(-3, len(whole))))
    assert (window.end, b"".join(window.since(window.start))) == (len(whole), whole[window.start :])
    if window.start < window.end:
        place = data.draw(st.integers(window.start, window.end - 1))
        piece = window.at(place)
        assert piece
        assert whole[place:].startswith(piece)


def test_of_a_body_that_is_not_stored_a_reader_who_stalls_is_left_behind(monkeypatch):
    monkeypatch.setattr(fetching, "STALL_SECONDS", 0.05)
    terms = Terms(60.0, False, False, 0.0, 0.0, frozenset())

    async def endless():
        for _ in range(64):
            yield bytes(100_000)

    async def read() -> None:
        fetch = Fetch(Entry(("route", "app"), 200, [], terms, (), (), 0.0), endless(), None, 1000, lambda _: None)
        stalled, steady = fetch.reader(), fetch.reader()
        assert len(await anext(stalled)) == 100_000
        assert [len(piece) async for piece in steady] == [100_000] * 64
        with pytest.raises(ResponseCut, match="held up others"):
            await anext(stalled)

    asyncio.run(read())
