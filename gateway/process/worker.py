"""A worker: one process, one uvloop event loop, one App, and the listeners on it.

Owns the life of one worker: configure, serve, reload, drain. Told what to do by the supervisor over the bus.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import uvloop

from gateway.app import App
from gateway.config.loader import Source
from gateway.errors import GatewayError, is_cancelled
from gateway.explaining import explain, read_request
from gateway.listeners.connections import Clients, Patrol, Watched
from gateway.listeners.edge import EdgeListener
from gateway.listeners.exchange import Host
from gateway.listeners.http import HttpListener
from gateway.listeners.tls import Pair
from gateway.process.bus import Link, WorkerBus
from gateway.process.logs import set_up_logging
from gateway.process.privileges import become
from gateway.process.watchdog import Watchdog

log = logging.getLogger("gateway.worker")

HANDOVER_SECONDS = 1.0
"""Between leaving new connections to others and closing idle ones: what was just accepted gets its answer."""

CUT_SECONDS = 1.0
"""So long what is cut at the deadline of a drain may take to say so."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""

GC_THRESHOLD = 50_000
"""Exchanges leave no cycles behind; the collector need not look often."""


class Worker:
    """What runs in a worker process."""

    def __init__(self, link: Link, bound: Sequence[int]) -> None:
        """`bound` are the descriptors of the listening sockets, in the order of the listeners."""
        self._link = link
        self._bound = bound
        self._most_connections = 0
        self._bus = WorkerBus(link)
        self._index = 0
        self._app: App | None = None
        self._prepared: App | None = None
        self._listeners: list[HttpListener | EdgeListener] = []
        self._patrol: Patrol | None = None
        self._retiring: dict[asyncio.Task[None], App] = {}
        """Apps of before, until their last exchange has ended."""
        self._drain_seconds = 30.0
        self._stopping = asyncio.Event()
        self._told: asyncio.Queue[tuple[str, Any, str]] = asyncio.Queue()
        self._starting: asyncio.Task[None] | None = None
        """The startup of an App's plugins, while it lasts."""
        self._preparing: asyncio.Task[None] | None = None
        """The making of the next App; the bus goes on meanwhile."""
        self._is_leaving = False
        """Whether nothing is to be started any more."""

    async def run(self) -> None:
        """Serve until told to drain, or until the supervisor is gone."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._follow())]
        await self._stopping.wait()
        await self._drain()
        if self._patrol is not None:
            self._patrol.stop()
        for task in tasks:
            task.cancel()
        self._link.close()

    def stop(self) -> None:
        """Begin to drain; plugins that are not up yet are given up."""
        self._is_leaving = True
        self._give_up_starting()
        self._stopping.set()

    def _give_up_starting(self) -> None:
        if self._starting is not None:
            self._starting.cancel()

    async def _listen(self) -> None:
        """Take in what the supervisor says: that all is in vain is heard while a plugin's startup hangs, too."""
        async for topic, message, keep in self._link.messages():
            if topic == "supervisor.ping":  # asks whether the loop goes on, not whether there is work left
                self._link.send("worker.pong")
                continue
            if topic in ("supervisor.drain", "supervisor.abandon"):
                self._is_leaving = self._is_leaving or topic == "supervisor.drain"
                self._give_up_starting()
            self._told.put_nowait((topic, message, keep))
        if not self._is_leaving and self._app is not None:  # else the start was given up
            log.error("worker %d ends, for its supervisor is gone; what is in flight is finished", self._index)
        self.stop()

    async def _follow(self) -> None:
        """Do what the supervisor says, one after the other."""
        while True:
            topic, message, keep = await self._told.get()
            try:
                await self._obey(topic, message, keep)
            except Exception:
                log.exception("%s failed", topic)

    async def _obey(self, topic: str, message: Any, keep: str) -> None:
        match topic:
            case "supervisor.configure":
                await self._reply(topic, message, self._configure)
            case "supervisor.prepare":
                self._preparing = asyncio.create_task(self._reply(topic, message, self._prepare))
            case "supervisor.commit":
                self._commit()
            case "supervisor.abandon":
                await self._abandon()
            case "supervisor.drain":
                self.stop()
            case "supervisor.ask":
                await self._reply(topic, message, self._answer)
            case _:
                self._bus.deliver(topic, message, keep)

    async def _reply(self, topic: str, request: list[Any], act: Callable[[Any], Awaitable[Any]]) -> None:
        """Do what a request asks for, and say under its number what came of it."""
        number, message = request
        try:
            self._link.send("worker.answer", [number, await act(message)])
        except (GatewayError, OSError) as error:  # what the operator can mend; where in the code is of no interest
            self._link.send("worker.failed", [number, _said(error)])
        except Exception as error:
            log.exception("%s failed", topic)
            self._link.send("worker.failed", [number, f"{type(error).__name__}: {error}"])

    async def _prepare(self, source: dict[str, Any]) -> bool:
        """Build an App beside the one that serves; whether only another worker could take it up."""
        self._prepared = await self._build(source)
        return self._has_other_ways(self._prepared)

    async def _abandon(self) -> None:
        if self._preparing is not None:
            if self._starting is None:
                self._preparing.cancel()  # it has not begun, or is over; else it was given up as this was heard
            await asyncio.wait([self._preparing])
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await prepared.shutdown()

    async def _answer(self, question: Any) -> Any:
        if self._app is None:
            return None
        if question == "endpoints":
            return self._app.describe_endpoints()
        if "command" in question:
            try:
                return self._app.command(question["command"], question["arguments"])
            except ValueError as error:
                return {"error": str(error)}
        if question == "metrics":
            return self._app.metrics.samples()
        try:
            return explain(self._app, *read_request(question["explain"]))
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"not a request: {error}"}

    async def _configure(self, message: dict[str, Any]) -> None:
        self._index = message["worker"]
        user, file = message["source"]["data"].get("user", ""), message["source"]["name"]
        if user:
            become(user, file)
        self._app = app = await self._build(message["source"], is_heir=message["is_heir"])
        self._take_up(app)
        self._most_connections = message["max_connections"]
        self._listeners = [self._open(app, index, pair) for index, pair in enumerate(message["pairs"])]
        self._patrol = Patrol(self._watched, app.bounds)
        self._patrol.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 50)
        Watchdog(self._index).start()

    def _open(self, app: App, index: int, pair: Pair | None) -> HttpListener | EdgeListener:
        """Begin to accept, by the way that the App has found for this listener."""
        settings, limits, has_edge = app.settings.listeners[index], app.settings.limits, app.ways[index].has_edge
        bound = socket.socket(fileno=self._bound[index])
        granted = self._most_connections // (2 if has_edge else 1)  # an edge takes three descriptors for each
        limited = settings.model_copy(update={"max_connections": min(settings.max_connections, granted)})
        listener: HttpListener | EdgeListener
        if has_edge:
            listener = EdgeListener(index, limited, limits, app, bound)
        else:
            host = Host(app, settings.label, Clients.of(settings))
            listener = HttpListener(limited, limits, host, bound, pair)
        listener.start()
        return listener

    @property
    def _hosts(self) -> list[Host]:
        return [host for listener in self._listeners for host in listener.hosts]

    def _watched(self) -> list[Watched]:
        return [watched for listener in self._listeners for watched in listener.watched]

    async def _build(self, data: dict[str, Any], *, is_heir: bool = False) -> App:
        source = Source(**{**data, "own_keys": tuple(data["own_keys"])})
        app = App(source, self._bus, self._index, is_heir=is_heir)
        self._starting = asyncio.create_task(app.startup())
        if self._is_leaving:
            self._give_up_starting()
        try:
            await self._starting
        except asyncio.CancelledError as error:
            if is_cancelled(error):
                raise
            raise GatewayError(f"worker {self._index}: the start was given up") from None
        finally:
            self._starting = None
        return app

    def _take_up(self, app: App) -> None:
        """What the whole process goes by, once a configuration is in force."""
        logging.getLogger("gateway").setLevel(app.settings.log_level.upper())
        self._drain_seconds = app.settings.drain_timeout

    def _commit(self) -> None:
        """Swap one reference: exchanges in flight finish on the App that they began with."""
        app, self._prepared = self._prepared, None
        if app is None:
            return
        old, self._app = self._app, app
        self._take_up(app)
        for host in self._hosts:
            host.app = app
        if self._patrol is not None:
            self._patrol.bounds = app.bounds
        if old is not None:
            old.is_retired = True
            task = asyncio.create_task(_retire(old))
            self._retiring[task] = old
            task.add_done_callback(self._retiring.pop)

    def _has_other_ways(self, app: App) -> bool:
        """Whether listeners would have to accept in another way: that takes another worker."""
        now = [way.has_edge for way in self._app.ways] if self._app is not None else []
        return now != [way.has_edge for way in app.ways]

    async def _drain(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])
        for host in self._hosts:
            host.is_draining = True
        if self._app is not None:
            self._app.is_retired = True
        for listener in self._listeners:
            listener.stop_accepting()
        if self._listeners:
            await asyncio.sleep(min(HANDOVER_SECONDS, self._drain_seconds))
        for_tunnels = self._drain_seconds - 2 * HANDOVER_SECONDS
        await asyncio.gather(*(host.end_tunnels(for_tunnels) for host in self._hosts))
        stops = [asyncio.ensure_future(listener.stop()) for listener in self._listeners]
        if stops:
            _, late = await asyncio.wait(stops, timeout=max(0.1, self._drain_seconds - HANDOVER_SECONDS))
            if late:
                await self._cut(late)
        if self._app is not None:
            await self._app.shutdown()

    async def _cut(self, late: set[asyncio.Task[None]]) -> None:
        """The deadline of a drain: clients get an answer if they have none, and the logs a line."""
        apps = [app for app in (self._app, *self._retiring.values()) if app is not None]
        log.warning("worker %d: %d exchanges cut at the deadline", self._index, sum(app.in_flight for app in apps))
        for app in apps:
            app.cut()
        await asyncio.wait({*late, *self._retiring}, timeout=CUT_SECONDS)


def _said(error: Exception) -> str:
    """What is wrong, in one line: with the file, if there is one."""
    if not isinstance(error, OSError):
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    return place + (error.strerror or repr(error))


async def _retire(app: App) -> None:
    """Shut an App down when its last exchange has ended, and the last connection that its plugins let in."""
    while app.in_flight or app.connections:  # noqa: ASYNC110  # a reload is rare, an event on every exchange would not be
        await asyncio.sleep(0.1)
    await app.shutdown()


async def _main(bus: int, bound: Sequence[int]) -> None:
    worker = Worker(await Link.open(socket.socket(fileno=bus)), bound)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()


def _prefer_throughput() -> None:
    """Let this process's threads wake each other without taking the core from each other.

    Granian's threads and the loop hand every request to one another. Under the usual policy each hand-over may
    interrupt whoever is at work; as batch processes they work off what has gathered: a quarter of the switches,
    and a sixth less CPU for each request (`plain`).
    """
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _keep_pieces_of_bodies() -> None:
    """Have glibc keep them on the heap.

    Given back to the system and taken anew for each piece, their page faults cost as much as everything else that
    is done to a large body (`large`).
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        set_option = ctypes.CDLL(None).mallopt
        set_option(M_MMAP_THRESHOLD, 4 << 20)
        set_option(M_TRIM_THRESHOLD, 64 << 20)


def main(bus: int, *bound: int) -> NoReturn:
    """What a worker process is born for (`nursery`): descriptors of its end of the bus and of listening sockets."""
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(ignored, signal.SIG_IGN)  # a terminal sends them to the whole group; the supervisor decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    set_up_logging("info")
    _prefer_throughput()
    _keep_pieces_of_bodies()
    try:
        uvloop.run(_main(bus, bound))
    except BaseException:
        log.critical("the worker failed", exc_info=True)
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)  # Granian's threads may still hold connections that the deadline has cut
