"""Files are looked at from the moment when they were read, not from when a task finds the time."""

from __future__ import annotations

import asyncio

import pytest

from gateway import look_at, watch_files


@pytest.fixture
def watched(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    return path


async def is_noticed(watching, changes: asyncio.Event) -> None:
    task = asyncio.create_task(watching)
    try:
        async with asyncio.timeout(5):
            await changes.wait()
    finally:
        task.cancel()


async def test_what_changes_before_the_task_runs_is_noticed(watched):
    changes = asyncio.Event()

    async def changed():
        changes.set()

    watching = watch_files(lambda: [watched], changed, 0.001)
    watched.write_text("after that")
    await is_noticed(watching, changes)


async def test_what_changes_after_it_was_read_is_noticed(watched):
    changes = asyncio.Event()

    async def changed():
        changes.set()

    known = look_at([watched])
    watched.write_text("after that")
    await is_noticed(watch_files(lambda: [watched], changed, 0.001, known), changes)


async def test_a_change_that_cannot_be_taken_up_does_not_end_the_watching(watched, caplog):
    failed, changes = asyncio.Event(), asyncio.Event()

    async def changed():
        if not failed.is_set():
            failed.set()
            raise RuntimeError("half written")
        changes.set()

    task = asyncio.create_task(watch_files(lambda: [watched], changed, 0.001))
    async with asyncio.timeout(5):
        watched.write_text("a half")
        await failed.wait()
        watched.write_text("the whole")
        await changes.wait()
    task.cancel()
    assert "half written" in caplog.text
