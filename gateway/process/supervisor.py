"""The supervisor: binds the sockets, has N workers serve, and changes them without dropping a connection.

Owns the order of start, reload, rolling restart and stop. Serves no exchange itself and loads no plugin.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.config.loader import Source
from gateway.config.model import Listener, Settings
from gateway.errors import ConfigurationError
from gateway.lifecycle import Jobs
from gateway.listeners.tls import Certificates, check_certificates, served_files
from gateway.process import admin, operations, sockets
from gateway.process.backlogs import LOOK_SECONDS, Backlogs
from gateway.process.crew import Crew
from gateway.process.history import History
from gateway.process.member import Member, NoAnswer
from gateway.process.nursery import Nursery
from gateway.process.privileges import find_successor
from gateway.process.pulse import Pulse
from gateway.watching import look_at, watch_files

log = logging.getLogger("gateway.supervisor")

SAME_SIGNAL_SECONDS = 0.02
"""Two signals to stop so close are one: timeout(1) and others tell a process and then its group."""
DAY_SECONDS = 86400.0
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
        self._history = History()
        self._crew = Crew(self._member, self._history)
        self._certificates = Certificates("", ())
        """Those that are in use."""
        self._jobs = Jobs()
        self._changing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._is_impatient = asyncio.Event()
        self._limit = sockets.raise_descriptor_limit()
        self._started = time.monotonic()
        self._terminated = 0.0
        """When the last signal to stop came."""
        self._nursery = Nursery()
        self._backlogs = Backlogs()

    async def run(self) -> None:
        """Serve until a signal ends it. Raises ConfigurationError if it cannot start."""
        self._check_user(self._source, self._settings)
        seen = look_at(self._certificate_files())
        self._certificates = self._bind(self._settings.listeners)
        self._warn()
        path = admin.socket_path(self._settings.admin_socket)
        server = await self._serve_admin(path)
        link = admin.announce(path)
        try:
            self._handle_signals()
            if await self._start():
                self._announce()
                self._jobs.start(Pulse(self._crew, lambda: self._settings.worker_timeout).watch())
                self._jobs.start(watch_files(self._certificate_files, self.reload, known=seen))
                self._jobs.start(self._warn_daily())
                self._jobs.start(self._watch_backlogs())
                await self._stop.wait()
        finally:
            await self._jobs.end()
            server.close()
            for mine in filter(None, (path, link)):
                mine.unlink(missing_ok=True)
            self._close_sockets()
            await self._crew.end(self._settings.drain_timeout, self._is_impatient)
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

    async def _serve_admin(self, path: Path) -> asyncio.Server:
        try:
            return await admin.serve(path, self._answer)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._source.name}: {error}") from None

    async def _start(self) -> bool:
        """Start the workers; False if a signal came before all were ready."""
        starting = asyncio.ensure_future(self._crew.start(self._settings.workers))
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return False
        stopping.cancel()
        await starting
        return True

    def _member(self, index: int, is_heir: bool) -> Member:
        settings = self._settings
        bound = [self._sockets[key] for key, _ in sockets.named(settings.listeners)]
        configuration = {
            "source": asdict(self._source),
            "worker": index,
            "is_heir": is_heir,
            "max_connections": sockets.connections_within(self._limit, len(bound)),
            "pairs": self._certificates.pairs,
        }
        return Member(index, self._nursery, configuration, bound, self._crew.relay, self._crew.kept)

    def _announce(self) -> None:
        settings = self._settings
        granted = sockets.connections_within(self._limit, len(settings.listeners))
        for key, listener in sockets.named(settings.listeners):
            most = granted // 2 if listener.asks_for_an_edge else granted
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
        loop.add_signal_handler(signal.SIGHUP, lambda: self._jobs.start(self.reload()))
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)

    def _reopen_logs(self) -> None:
        self._crew.relay(None, "logs.reopen", None)
        log.info("log files are opened anew")

    def _terminate(self) -> None:
        now = time.monotonic()
        is_same, self._terminated = now - self._terminated < SAME_SIGNAL_SECONDS, now
        if is_same:
            return
        how = "exchanges in flight are finished first" if self._crew.is_serving else "not all workers are ready yet"
        log.info("stopping: %s", "at once" if self._stop.is_set() else how)
        if self._stop.is_set():
            self._is_impatient.set()
        self._stop.set()

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
            self._check_user(source, settings)
            certificates = check_certificates(settings.listeners, source.name)
            if _outer(settings) != _outer(self._settings) or self._are_others(certificates):
                return await self._roll(source, settings)
            # One that is dead is being replaced, and takes up the new configuration with its next try.
            living = self._crew.living
            await self._check_answers(living)
            is_for_others = any(await asyncio.gather(*(member.prepare(asdict(source)) for member in living)))
        except ConfigurationError:
            self._abandon()
            raise
        if is_for_others:
            self._abandon()
            return await self._roll(source, settings)
        for member in living:
            member.send("supervisor.commit", None)
        self._take_up(source, settings, certificates)
        return f"configuration of {source.name} is in force in {len(living)} workers"

    async def _check_answers(self, members: list[Member]) -> None:
        """Refuse at once what a worker that hangs would hold up."""
        try:
            await asyncio.gather(*(member.check() for member in members))
        except NoAnswer as error:
            raise ConfigurationError(
                f"{error}; the old configuration stays in force. gateway restart replaces such a worker"
            ) from None

    def _abandon(self) -> None:
        """What was prepared is not taken up."""
        for member in self._crew.members:
            member.send("supervisor.abandon", None)

    async def _restart(self) -> str:
        source = self._load()
        settings = source.settings()
        self._check_admin_socket(source, settings)
        await self._nursery.renew()
        return await self._roll(source, settings)

    def _check_user(self, source: Source, settings: Settings) -> None:
        if settings.user:
            find_successor(settings.user, source.name)

    def _check_admin_socket(self, source: Source, settings: Settings) -> None:
        if settings.admin_socket != self._settings.admin_socket:
            raise ConfigurationError(
                f"{source.name}: admin_socket: to change it, stop the gateway and start it anew"
            )

    async def _roll(self, source: Source, settings: Settings) -> str:
        before, replaced = (self._source, self._settings, self._certificates), 0
        patience = self._settings.drain_timeout
        try:
            certificates = self._bind(settings.listeners)
            probation = PROBATION_SECONDS if self._are_others(certificates) else 0.0
            self._source, self._settings, self._certificates = source, settings, certificates
            for replaced in range(settings.workers):
                await self._crew.renew(replaced, 0.0 if replaced else probation, patience)
        except ConfigurationError:
            if not replaced:  # else workers were replaced already, and the others would run what they run
                self._source, self._settings, self._certificates = before
            self._close_unused()
            raise
        self._crew.shrink(settings.workers, patience)
        self._close_unused()
        self._take_up(source, settings, certificates)
        return f"{settings.workers} workers replaced one by one"

    def _are_others(self, certificates: Certificates) -> bool:
        return certificates.fingerprint != self._certificates.fingerprint

    def _certificate_files(self) -> list[Path]:
        """What the server core serves; an edge looks after its own."""
        return served_files(self._settings.listeners)

    async def _warn_daily(self) -> None:
        while True:
            await asyncio.sleep(DAY_SECONDS)
            with contextlib.suppress(ConfigurationError):  # files that are wrong now were told of when they changed
                now = check_certificates(self._settings.listeners, self._source.name)
                self._certificates = replace(self._certificates, warnings=now.warnings)
            self._warn()

    async def _watch_backlogs(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._backlogs.look(self._listening)

    def _warn(self) -> None:
        for line in self._certificates.warnings:
            log.warning(line)

    def _take_up(self, source: Source, settings: Settings, certificates: Certificates) -> None:
        self._source, self._settings, self._certificates = source, settings, certificates
        self._warn()
        self._history.changed()
        self._crew.try_again()

    def _close_unused(self) -> None:
        used = {key for key, _ in sockets.named(self._settings.listeners)}
        for key in set(self._sockets) - used:
            self._close_socket(key, self._sockets.pop(key))

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
            self._crew.relay(None, topic, message, keep)

        try:
            reply = await operations.answer(command, arguments, self._crew.living, publish)
        except ConfigurationError as error:
            return {"error": str(error)}
        if "metrics" in reply:
            reply["metrics"] += [*self._backlogs.samples(), *self._certificates.samples()]
        if "done" in reply:
            log.info("operator: %s", reply["done"])
        return reply

    @property
    def _listening(self) -> dict[str, socket.socket]:
        """By where they really listen."""
        keyed = [(self._sockets[key], listener) for key, listener in sockets.named(self._settings.listeners)]
        return {sockets.bound_url(listener, bound): bound for bound, listener in keyed}

    def _status(self) -> dict[str, Any]:
        return {
            "target": self._target,
            "pid": os.getpid(),
            "up_seconds": time.monotonic() - self._started,
            "workers": [each.as_data() for each in self._crew.members],
            "draining": [each.pid for each in self._crew.leaving],
            "listeners": list(self._listening),
            **self._history.as_data(),
        }


def _outer(settings: Settings) -> tuple[Any, ...]:
    """What only new workers can take up."""
    return settings.listeners, settings.workers, settings.limits.max_header, settings.user


def say(line: str) -> None:
    """One line to the operator."""
    print(f"gateway: {line}", file=sys.stderr, flush=True)
