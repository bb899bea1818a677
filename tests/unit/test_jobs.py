"""Plugins' tasks in the background: held, named when they fail, and over before `shutdown`."""

from __future__ import annotations

import asyncio
import gc

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
