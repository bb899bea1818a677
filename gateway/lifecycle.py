"""Start plugins in their order, stop them in reverse, and say whose startup or shutdown does not return.

Owns the calls of `startup` and `shutdown`, and the tasks that plugins have run between them. Does not know what
else belongs to the life of an App.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gateway.errors import FAILURES, PluginError, is_cancelled
from gateway.failures import refusal
from gateway.pipeline import order_hooks

if TYPE_CHECKING:
    from gateway.app import App

log = logging.getLogger("gateway")

STUBBORN_SECONDS = 1.0
"""So long cancelled jobs are waited for."""
SLOW_SECONDS = 5.0
"""After so long the log says whose startup it is that everything waits for."""

SLOW_SHUTDOWN_SECONDS = 1.0
"""The same for shutdown: soon enough to be told before the supervisor loses patience with the worker."""

MAX_SECONDS = 55.0
"""For all of them together: less than a supervisor waits for its workers, so that it hears which plugin it was."""


async def start_plugins(plugins: Sequence[tuple[str, object]], app: App, jobs: Jobs) -> None:
    """Start each, in order. Raises PluginError if one refuses or takes too long; those before it are shut down."""
    started: list[tuple[str, object]] = []
    deadline = asyncio.get_running_loop().time() + MAX_SECONDS
    for name, plugin in plugins:
        try:
            await _start(name, plugin, app, deadline)
        except BaseException:
            await jobs.end()
            await stop_plugins(started, app)
            raise
        started.append((name, plugin))


async def _start(name: str, plugin: object, app: App, deadline: float) -> None:
    if not hasattr(plugin, "startup"):
        return
    try:
        with _told_if_slow(name, "startup", SLOW_SECONDS):
            async with asyncio.timeout_at(deadline) as limit:
                await _call_hook(plugin, "startup", app)
    except FAILURES as error:
        if is_cancelled(error):
            log.warning("plugin %r: its startup had not returned when the start was given up", name)
            raise
        if limit.expired():
            raise PluginError(f"plugin {name!r}: its startup has not returned within {MAX_SECONDS:g} s") from None
        raise PluginError(refusal(app.source.name, name, plugin, error)) from error


@contextmanager
def _told_if_slow(name: str, hook: str, seconds: float) -> Iterator[None]:
    """A thread watches the clock: a startup that never awaits leaves the loop no chance to do it."""
    timer = threading.Timer(
        seconds, log.warning, ("plugin %r: its %s has not returned for %g s", name, hook, seconds)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


async def stop_plugins(plugins: Sequence[tuple[str, object]], app: App) -> None:
    """Stop each, in reverse order; one that fails is logged and does not stop the others."""
    for name, plugin in reversed(plugins):
        if not hasattr(plugin, "shutdown"):
            continue
        try:
            with _told_if_slow(name, "shutdown", SLOW_SHUTDOWN_SECONDS):
                await _call_hook(plugin, "shutdown", app)
        except FAILURES as error:
            if is_cancelled(error):
                raise
            log.exception("plugin %r failed in shutdown", name)


async def _call_hook(plugin: object, hook: str, app: App) -> None:
    for step in order_hooks([(type(plugin).__name__, plugin)])[hook]:
        result = step.call(app)
        if inspect.isawaitable(result):
            await result


class Jobs:
    """Tasks in the background: held while they run, logged if they fail, cancelled in the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def start(self, job: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run it from now on. Its name in the log is that of the function: `Deny._refresh`."""
        task = asyncio.get_running_loop().create_task(job, name=getattr(job, "__qualname__", None))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed in the background, and does not run any more", task.get_name(), exc_info=error)

    async def end(self) -> None:
        """Cancel what still runs, and wait for it; what does not end is left, and told of."""
        deadline = asyncio.get_running_loop().time() + STUBBORN_SECONDS
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:  # jobs may start others
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=left)
        for task in self._tasks:
            log.warning("%s goes on in the background though it was cancelled", task.get_name())
