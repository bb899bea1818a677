"""The log's handler: whole records for whoever reads, and nobody held up where nobody does."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import weakref
from contextlib import ExitStack

import pytest

from gateway.process import logs

PAGE_BYTES = 4096


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("gateway", logging.INFO, "x.py", 1, text, None, None)


@pytest.fixture
def handle():
    """A handler for a descriptor, closed in the end."""
    with ExitStack() as stack:

        def make(descriptor: int) -> logs.UnhurriedHandler:
            handler = logs.UnhurriedHandler(descriptor)
            stack.callback(handler.release_descriptor)
            return handler

        yield make


@pytest.fixture
def pipe():
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PAGE_BYTES)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_what_finds_no_room_in_a_pipe_is_dropped_and_counted(pipe, handle):
    ours, theirs = pipe
    handler = handle(theirs)
    for _ in range(10):
        handler.emit(record("x" * 1000))
    assert os.get_blocking(theirs), "the flags are shared with whoever has given us the pipe"
    seen = os.read(ours, 1 << 16)
    assert seen == (b"x" * 1000 + b"\n") * 4
    handler.emit(record("again"))
    assert os.read(ours, 1 << 16) == b"gateway: nobody read this log: 6 records were dropped\nagain\n"


def test_two_writers_of_one_pipe_do_not_hold_each_other_up(pipe, handle):
    _, theirs = pipe
    first, second = handle(theirs), handle(theirs)
    os.write(theirs, b"y" * (PAGE_BYTES - 1500))
    for handler in (first, second, first, second):
        handler.emit(record("x" * 1000))


def test_a_record_that_is_left_in_its_midst_ends_no_other(pipe, handle, monkeypatch):
    monkeypatch.setattr(logs, "PATIENCE_MS", 1)
    ours, theirs = pipe
    handler = handle(theirs)
    handler.emit(record("x" * (PAGE_BYTES + 100)))
    seen = os.read(ours, 1 << 16)
    handler.emit(record("whole"))
    assert set(seen) == {ord("x")}
    assert os.read(ours, 1 << 16) == b"\ngateway: nobody read this log: 1 records were dropped\nwhole\n"


def test_a_socket_that_takes_nothing_holds_nobody_up(handle):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handler = handle(theirs.fileno())
        for _ in range(2000):
            handler.emit(record("x" * 1000))
        assert ours.recv(1001) == b"x" * 1000 + b"\n"


def test_a_file_has_every_record(tmp_path, handle):
    with (tmp_path / "log").open("wb") as file:
        handler = handle(file.fileno())
        for number in range(100):
            handler.emit(record(str(number)))
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(100)]


def test_a_handler_that_was_closed_by_somebody_else_writes_on(pipe, handle):
    ours, theirs = pipe
    handler = handle(theirs)
    logging.shutdown([weakref.ref(handler)])  # as logging.config does
    handler.emit(record("still here"))
    assert os.read(ours, 1 << 16) == b"still here\n"
