"""The supervisor: binds the sockets, keeps N workers alive, and changes them without dropping a connection.

Owns the order of start, reload, rolling restart and stop. Serves no exchange itself and loads no plugin.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.bus import remember
from gateway.config.loader import Source
from gateway.config.model import Listener, Settings
from gateway.errors import ConfigurationError
from gateway.listeners.tls import Certificates, check_certificates
from gateway.process import admin, operations, sockets
from gateway.process.history import History, describe_exit, longer
from gateway.process.member import Member
from gateway.process.nursery import Nursery

log = logging.getLogger("gateway.supervisor")

KILL_AFTER_SECONDS = 3.0
"""Beyond the drain timeout."""
PROBATION_SECONDS = 1.0
"""So long the first worker with other certificates must live: a certificate that the server does not bear ends it
only after it was ready."""


class Supervisor:
    """One running gateway."""

    def __init__(self, load: Callable[[], Source], target: str) -> None:
        """`load` reads the configuration anew; `target` is what the operator called it.

        To be made before there is an event loop: this forks. Raises ConfigurationError.
        """
        self._load = load
        self._target = str(Path(target).resolve()) if target.endswith(".toml") else target
        self._source = load()
        self._settings: Settings = self._source.settings()
        self._sockets: dict[str, socket.socket] = {}
        self._members: list[Member] = []
        self._starting: set[Member] = set()
        self._leaving: set[Member] = set()
        self._watchers: set[asyncio.Task[None]] = set()
        self._kept: dict[str, dict[str, Any]] = {}
        """What the bus keeps, by topic and key: workers that start later hear of it, too."""
        self._history = History()
        self._certificates = Certificates("", ())
        """Those that are in use."""
        self._has_changed = asyncio.Event()
        """Ends the pauses before workers are started anew."""
        self._changing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._is_impatient = asyncio.Event()
        self._limit = sockets.raise_descriptor_limit()
        self._started = time.monotonic()
        self._nursery = Nursery()

    async def run(self) -> None:
        """Serve until a signal ends it. Raises ConfigurationError if it cannot start."""
        self._certificates = self._bind(self._settings.listeners)
        self._warn()
        path = admin.socket_path(self._settings.admin_socket)
        server = await admin.serve(path, self._answer)
        link = admin.announce(path)
        try:
            self._handle_signals()
            if await self._start():
                self._announce()
                await self._stop.wait()
        finally:
            server.close()
            for mine in filter(None, (path, link)):
                mine.unlink(missing_ok=True)
            await self._drain_all()
            self._nursery.close()

    # -- start -------------------------------------------------------------------------------------------------

    def _bind(self, listeners: tuple[Listener, ...]) -> Certificates:
        """Bind what is not bound yet; the listeners' certificates."""
        certificates = check_certificates(listeners, self._source.name)
        for index, (key, listener) in enumerate(sockets.named(listeners)):
            if key not in self._sockets:
                try:
                    self._sockets[key] = sockets.bind(listener)
                except ConfigurationError as error:
                    raise ConfigurationError(f"{self._source.name}: listeners[{index}].bind: {error}") from None
        return certificates

    async def _start(self) -> bool:
        """Start the workers; False if a signal came before all were ready."""
        self._members = [self._member(index) for index in range(self._settings.workers)]
        starting = asyncio.gather(*(member.start() for member in self._members))
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return False
        stopping.cancel()
        await starting
        for member in self._members:
            self._watch(member)
        return True

    async def _start_one(self, member: Member, probation: float = 0.0) -> None:
        self._starting.add(member)
        try:
            await member.start()
            if probation:
                await member.prove_itself(probation)
        finally:
            self._starting.discard(member)

    def _member(self, index: int) -> Member:
        settings = self._settings
        bound = [self._sockets[key] for key, _ in sockets.named(settings.listeners)]
        most = sockets.connections_within(self._limit, len(bound))
        return Member(index, self._nursery, asdict(self._source), bound, most, self._relay, self._kept)

    def _announce(self) -> None:
        settings = self._settings
        most = sockets.connections_within(self._limit, len(settings.listeners))
        for key, listener in sockets.named(settings.listeners):
            say(f"listening on {sockets.bound_url(listener, self._sockets[key])}")
            if listener.max_connections > most:
                say(
                    f"listener {listener.label}: max_connections is held at {most},"
                    f" since only {self._limit} file descriptors are granted (ulimit -n)"
                )
        if not settings.routes:
            say("no route: every request gets 404; [upstreams.NAME] or [[routes]] gives requests a way")
        say("ready")

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate)
        loop.add_signal_handler(signal.SIGHUP, self._spawn, self.reload)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)

    def _reopen_logs(self) -> None:
        self._relay(None, "logs.reopen", None)
        log.info("log files are opened anew")

    def _terminate(self) -> None:
        is_serving = all(member.is_ready for member in self._members)
        how = "exchanges in flight are finished first" if is_serving else "not all workers are ready yet"
        log.info("stopping: %s", "at once" if self._stop.is_set() else how)
        if self._stop.is_set():
            self._is_impatient.set()
        self._stop.set()

    def _spawn(self, job: Callable[[], Any]) -> None:
        task = asyncio.get_running_loop().create_task(job())
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    # -- keep alive --------------------------------------------------------------------------------------------

    def _watch(self, member: Member) -> None:
        async def watch() -> None:
            status = await member.wait()
            if member in self._leaving:
                self._leaving.discard(member)
            elif not self._stop.is_set():
                how = describe_exit(status)
                pause = self._history.died(member.index, member.age, how)
                later = f"; it is started anew in {pause:g} s" if pause else ""
                log.error("worker %d (pid %d) died: %s%s", member.index, member.pid, how, later)
                await self._replace(member, pause)

        self._spawn(watch)

    async def _replace(self, dead: Member, pause: float) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_changed.wait(), pause)
            if dead not in self._members:
                return  # a rolling restart has put another one in its place
            fresh = self._member(dead.index)
            try:
                await self._start_one(fresh)
            except Exception as error:  # whatever it is, the gateway must not be left without workers
                pause = longer(pause)
                log.error("worker %d does not start: %s; next try in %g s", dead.index, error, pause)
                continue
            if dead in self._members:
                self._members[self._members.index(dead)] = fresh
                self._watch(fresh)
                log.info("worker %d is back (pid %d)", fresh.index, fresh.pid)
            else:
                fresh.drain()
            return

    def _relay(self, sender: Member | None, topic: str, message: Any, keep: str = "") -> None:
        if keep:
            remember(self._kept, topic, message, keep)
        for member in {*self._members, *self._starting, *self._leaving}:
            if member is not sender:
                member.send(topic, message, keep)

    # -- change ------------------------------------------------------------------------------------------------

    async def reload(self) -> dict[str, Any]:
        """Read the configuration anew and swap it in everywhere, or nowhere."""
        return await self._change("reload", self._reload)

    async def restart(self) -> dict[str, Any]:
        """Replace the workers one by one: new code, new plugin versions, the configuration read anew."""
        return await self._change("restart", self._restart)

    async def _change(self, what: str, change: Callable[[], Awaitable[str]]) -> dict[str, Any]:
        """Make one change at a time; the reply says what was done or why not, and so does the log."""
        async with self._changing:
            try:
                done = await change()
            except ConfigurationError as error:
                self._history.refused(what, str(error))
                log.error("%s failed: %s", what, error)
                return {"error": str(error)}
            log.info(done)
            return {"done": done, "warnings": self._certificates.warnings}

    async def _reload(self) -> str:
        try:
            source = self._load()
            settings = source.settings()
            self._check_admin_socket(source, settings)
            certificates = check_certificates(settings.listeners, source.name)
            if _outer(settings) != _outer(self._settings) or self._are_others(certificates):
                return await self._roll(source, settings)
            # One that is dead is being replaced, and takes up the new configuration with its next try.
            living = [member for member in self._members if member.is_running]
            await asyncio.gather(*(member.prepare(asdict(source)) for member in living))
        except ConfigurationError:
            for member in self._members:
                member.send("supervisor.abandon", None)
            raise
        for member in living:
            member.send("supervisor.commit", None)
        self._take_up(source, settings, certificates)
        return f"configuration of {source.name} is in force in {len(living)} workers"

    async def _restart(self) -> str:
        source = self._load()
        settings = source.settings()
        self._check_admin_socket(source, settings)
        await self._nursery.renew()
        return await self._roll(source, settings)

    def _check_admin_socket(self, source: Source, settings: Settings) -> None:
        if settings.admin_socket != self._settings.admin_socket:
            raise ConfigurationError(
                f"{source.name}: admin_socket: to change it, stop the gateway and start it anew"
            )

    async def _roll(self, source: Source, settings: Settings) -> str:
        old_source, old_settings = self._source, self._settings
        fresh: list[Member] = []
        try:
            certificates = self._bind(settings.listeners)
            probation = PROBATION_SECONDS if self._are_others(certificates) else 0.0
            self._source, self._settings = source, settings
            for index in range(settings.workers):
                member = self._member(index)
                await self._start_one(member, 0.0 if fresh else probation)
                self._watch(member)
                fresh.append(member)
                if index < len(self._members):
                    # Whoever is there now: one that died meanwhile has been replaced.
                    self._members[index], old = member, self._members[index]
                    self._retire(old)
                else:
                    self._members.append(member)
        except ConfigurationError:
            # Workers that were replaced already stay: they run the same code as the one that failed would have.
            self._source, self._settings = (source, settings) if fresh else (old_source, old_settings)
            self._close_unused()
            raise
        for member in self._members[settings.workers :]:
            self._members.remove(member)
            self._retire(member)
        self._close_unused()
        self._take_up(source, settings, certificates)
        return f"{len(fresh)} workers replaced one by one"

    def _are_others(self, certificates: Certificates) -> bool:
        return certificates.fingerprint != self._certificates.fingerprint

    def _warn(self) -> None:
        for line in self._certificates.warnings:
            log.warning(line)

    def _take_up(self, source: Source, settings: Settings, certificates: Certificates) -> None:
        self._source, self._settings, self._certificates = source, settings, certificates
        self._warn()
        self._history.changed()
        self._has_changed.set()
        self._has_changed = asyncio.Event()

    def _retire(self, member: Member) -> None:
        if not member.is_running:
            return
        self._leaving.add(member)
        member.drain()
        loop = asyncio.get_running_loop()
        loop.call_later(self._settings.drain_timeout + KILL_AFTER_SECONDS, member.kill)

    def _close_unused(self) -> None:
        used = {key for key, _ in sockets.named(self._settings.listeners)}
        for key in set(self._sockets) - used:
            self._close_socket(key, self._sockets.pop(key))

    # -- stop --------------------------------------------------------------------------------------------------

    async def _drain_all(self) -> None:
        self._stop.set()
        self._close_sockets()
        members = [*self._members, *self._starting, *self._leaving]
        for member in members:
            member.drain()
            if not member.is_ready:  # nothing is in flight there, and a startup that blocks it hears nothing
                asyncio.get_running_loop().call_later(KILL_AFTER_SECONDS, member.kill)
        waits = [asyncio.ensure_future(member.wait()) for member in members if member.is_running]
        if waits:
            impatient = asyncio.ensure_future(self._is_impatient.wait())
            everyone = asyncio.ensure_future(asyncio.wait(waits))
            await asyncio.wait(
                (everyone, impatient),
                timeout=self._settings.drain_timeout + KILL_AFTER_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            impatient.cancel()
            everyone.cancel()
        for member in members:
            member.kill()

    def _close_sockets(self) -> None:
        """Nobody is let in any more; the workers still hold their own descriptors until they drain."""
        for key, bound in self._sockets.items():
            self._close_socket(key, bound)

    def _close_socket(self, key: str, bound: socket.socket) -> None:
        bound.close()
        if key.startswith("unix:"):
            Path(key[5:]).unlink(missing_ok=True)

    # -- admin -------------------------------------------------------------------------------------------------

    async def _answer(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        match command:
            case "reload":
                return await self.reload()
            case "restart":
                return await self.restart()
            case "status":
                return self._status()
            case _:
                return await self._operate(command, arguments)

    async def _operate(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        def publish(topic: str, message: Any, keep: str) -> None:
            self._relay(None, topic, message, keep)

        try:
            living = [member for member in self._members if member.is_running]
            reply = await operations.answer(command, arguments, living, publish)
        except ConfigurationError as error:
            return {"error": str(error)}
        if "done" in reply:
            log.info("operator: %s", reply["done"])
        return reply

    def _status(self) -> dict[str, Any]:
        return {
            "target": self._target,
            "up_seconds": time.monotonic() - self._started,
            "workers": [
                {"index": each.index, "pid": each.pid, "age": each.age, "is_running": each.is_running}
                for each in self._members
            ],
            "draining": [member.pid for member in self._leaving],
            "listeners": [
                sockets.bound_url(listener, self._sockets[key])
                for key, listener in sockets.named(self._settings.listeners)
            ],
            **self._history.as_data(),
        }


def _outer(settings: Settings) -> tuple[Any, ...]:
    """What only new workers can take up."""
    return settings.listeners, settings.workers, settings.limits.max_header


def say(line: str) -> None:
    """One line to the operator."""
    print(f"gateway: {line}", file=sys.stderr, flush=True)
