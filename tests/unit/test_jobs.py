"""Plugins' tasks in the background: held, named when they fail, and over before `shutdown`."""

from __future__ import annotations

import asyncio
import gc

from gateway import lifecycle

HOOKS = """
    import asyncio
    from gateway import hookimpl

    class Works:
        def __init__(self):
            self.seen = []
        @hookimpl
        def startup(self, app):
            app.spawn(self.fail())
            app.spawn(self.last())
        @hookimpl
        def shutdown(self, app):
            self.seen.append("shutdown")
        async def fail(self):
            await asyncio.sleep(0)
            raise KeyError("nothing there")
        async def last(self):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.seen.append("cancelled")
"""


async def test_a_job_that_fails_is_named_and_the_others_end_before_shutdown(app, caplog):
    built = app('plugins = ["./hooks.py:Works"]\nupstreams.app.endpoints = ["http://127.0.0.1:9"]', hooks__py=HOOKS)
    works = built.plugins[0][1]
    await built.startup()
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()  # nobody but the App holds the other one
    assert "Works.fail failed in the background, and does not run any more" in caplog.text
    assert "KeyError: 'nothing there'" in caplog.text
    assert works.seen == []
    await built.shutdown()
    assert works.seen == ["cancelled", "shutdown"]


async def test_a_job_that_will_not_end_is_named_and_holds_up_nobody(caplog, monkeypatch):
    monkeypatch.setattr(lifecycle, "STUBBORN_SECONDS", 0.01)
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    jobs = lifecycle.Jobs()
    task = jobs.start(stubborn())
    await asyncio.sleep(0)
    await jobs.end()
    assert "stubborn goes on in the background though it was cancelled" in caplog.text
    released.set()
    await task


async def test_jobs_that_jobs_start_are_ended_too():
    jobs = lifecycle.Jobs()
    started: list[asyncio.Task[object]] = []

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    async def parent() -> None:
        try:
            await forever()
        finally:
            started.append(jobs.start(forever()))

    jobs.start(parent())
    await asyncio.sleep(0)
    await jobs.end()
    assert started[0].cancelled()
