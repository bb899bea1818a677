"""The writer: whole lines in order, never in the way, and honest about what was lost."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
import time

import pytest
from gateway_access_log.writer import LineWriter, LogFile


@pytest.fixture
def make_writer():
    """`make_writer(path, batch_lines=2)`: an open writer."""

    def make(path, *, batch_lines=512, flush_seconds=60.0, max_lines=1000):
        writer = LineWriter(path, batch_lines=batch_lines, flush_seconds=flush_seconds, max_lines=max_lines)
        writer.open()
        return writer

    return make


async def until(condition, within=5.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.005)


async def test_lines_are_written_in_order_at_the_end(make_writer, tmp_path):
    writer = make_writer(tmp_path / "log")
    for number in range(1000):
        writer.add(b"%d\n" % number)
    await writer.close()
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(1000)]


async def test_a_full_batch_is_written_at_once(make_writer, tmp_path):
    writer = make_writer(tmp_path / "log", batch_lines=2)
    for line in (b"one\n", b"two\n", b"three\n"):
        writer.add(line)
    await until(lambda: (tmp_path / "log").read_bytes() == b"one\ntwo\n")
    await writer.close()


async def test_a_lone_line_is_written_when_its_time_has_come(make_writer, tmp_path):
    writer = make_writer(tmp_path / "log", flush_seconds=0.01)
    writer.add(b"one\n")
    await until(lambda: (tmp_path / "log").read_bytes() == b"one\n")
    writer.add(b"two\n")
    await until(lambda: (tmp_path / "log").read_bytes() == b"one\ntwo\n")
    await writer.close()


async def test_a_file_that_is_there_is_appended_to(make_writer, tmp_path):
    (tmp_path / "log").write_bytes(b"old\n")
    writer = make_writer(tmp_path / "log")
    writer.add(b"new\n")
    await writer.close()
    assert (tmp_path / "log").read_bytes() == b"old\nnew\n"


async def test_after_reopening_lines_go_to_the_new_file(make_writer, tmp_path):
    writer = make_writer(tmp_path / "log")
    writer.add(b"one\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    writer.reopen()
    writer.add(b"two\n")
    await writer.close()
    assert (tmp_path / "log.1").read_bytes() == b"one\n"
    assert (tmp_path / "log").read_bytes() == b"two\n"


async def test_a_file_that_cannot_be_opened_again_is_kept(make_writer, tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    writer = make_writer(folder / "log")
    folder.rename(tmp_path / "moved")
    writer.reopen()
    writer.add(b"one\n")
    await writer.close()
    assert (tmp_path / "moved" / "log").read_bytes() == b"one\n"
    assert "cannot be opened again, the old file stays in use" in caplog.text


async def test_closing_twice_and_reopening_what_is_closed_do_nothing(make_writer, tmp_path):
    writer = make_writer(tmp_path / "log")
    await writer.close()
    await writer.close()
    writer.reopen()
    writer.add(b"too late\n")
    writer.flush()
    assert writer.dropped == 1


async def test_a_wrong_path_raises_when_it_is_opened(make_writer, tmp_path):
    with pytest.raises(FileNotFoundError):
        make_writer(tmp_path / "missing" / "log")


async def test_a_slow_file_never_blocks_and_what_has_no_room_is_dropped_and_told_once(
    make_writer, tmp_path, caplog, monkeypatch
):
    writer = make_writer(tmp_path / "log", batch_lines=10, max_lines=30)
    go_on = threading.Event()
    write = writer._file._os_write

    def slow(fd, data):
        go_on.wait(5)
        return write(fd, data)

    monkeypatch.setattr(writer._file, "_os_write", slow)
    for number in range(100):
        writer.add(b"%d\n" % number)
    assert writer.dropped == 70
    assert caplog.text.count("too slow") == 1
    go_on.set()
    await until(lambda: writer._file.taken == 30)
    writer.add(b"again\n")
    await writer.close()
    assert (tmp_path / "log").read_text().split() == [*map(str, range(30)), "again"]
    assert "writing again; 70 lines were dropped" in caplog.text


class Disk:
    """Stands for os.write: takes `room` bytes, then is full."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = data[: self.room]
        self.room -= len(taken)
        self.data += taken
        return len(taken)


def test_a_full_disk_is_told_once_and_the_lost_lines_are_counted(caplog, tmp_path):
    caplog.set_level(logging.WARNING)
    disk = Disk(room=6)
    file = LogFile(tmp_path / "log", write=disk.write)
    file.open()
    file.write([b"one\n", b"two\n", b"three\n"])
    file.write([b"four\n", b"five\n"])
    assert caplog.text.count("cannot be written, lines are dropped: No space left on device") == 1
    assert file.taken == 5
    disk.room = 100
    file.write([b"six\n"])
    assert "writing again; 4 lines were dropped" in caplog.text
    assert file.dropped == 4
    assert disk.data == b"one\ntw\nsix\n"  # the torn line is ended, so that the next one is whole
    file.close()


def test_a_pipe_gets_pieces_that_are_kept_whole(tmp_path):
    sizes: list[bytes] = []
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(path, write=lambda fd, data: sizes.append(data) or len(data))
    file.open()
    file.write([b"x" * 999 + b"\n"] * 10)
    assert [len(piece) for piece in sizes] == [4000, 4000, 2000]
    file.close()
    os.close(reader)
