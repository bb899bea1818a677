"""The workers of one gateway: who serves, who is starting and who is leaving; each that dies is replaced.

Owns the list of workers and what the bus keeps for later ones. Does not know what configuration they run, nor why
they are changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.bus import remember
from gateway.process.history import History, describe_exit, longer
from gateway.process.member import Member

log = logging.getLogger("gateway.supervisor")

KILL_AFTER_SECONDS = 3.0
"""Beyond the drain timeout."""


class Crew:
    """The workers, by index."""

    def __init__(self, create: Callable[[int, bool], Member], history: History) -> None:
        """`create` makes the worker of an index, with the configuration of the moment; deaths go to `history`.

        It is told whether the worker takes the place of one that died.
        """
        self.members: list[Member] = []
        """Who serves; one that died stays until there is another one in its place."""
        self.kept: dict[str, dict[str, Any]] = {}
        """What the bus keeps, by topic and key: workers that start later hear of it, too."""
        self._create = create
        self._history = history
        self._starting: set[Member] = set()
        self._leaving: set[Member] = set()
        self._watchers: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._has_changed = asyncio.Event()
        """Ends the pauses before workers are started anew."""

    @property
    def living(self) -> list[Member]:
        """Those who serve and are there."""
        return [member for member in self.members if member.is_running]

    @property
    def leaving(self) -> list[Member]:
        """Those who finish what they have begun."""
        return list(self._leaving)

    @property
    def is_over(self) -> bool:
        """Whether all are to leave."""
        return self._is_over

    @property
    def is_serving(self) -> bool:
        """Whether all have begun to serve."""
        return all(member.is_ready for member in self.members)

    def relay(self, sender: Member | None, topic: str, message: Any, keep: str = "") -> None:
        """Tell everyone but the sender."""
        if keep:
            remember(self.kept, topic, message, keep)
        for member in {*self.members, *self._starting, *self._leaving}:
            if member is not sender:
                member.send(topic, message, keep)

    # -- start -------------------------------------------------------------------------------------------------

    async def start(self, count: int) -> None:
        """Start so many workers, all at once. Raises ConfigurationError."""
        self.members = [self._create(index, False) for index in range(count)]
        await asyncio.gather(*(member.start() for member in self.members))
        for member in self.members:
            self._watch(member)

    async def _start_one(self, member: Member, probation: float = 0.0) -> None:
        self._starting.add(member)
        try:
            await member.start()
            if probation:
                await member.prove_itself(probation)
        finally:
            self._starting.discard(member)

    # -- keep alive --------------------------------------------------------------------------------------------

    def _watch(self, member: Member) -> None:
        self._spawn(self._follow(member))

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _follow(self, member: Member) -> None:
        status = await member.wait()
        if member in self._leaving:
            self._leaving.discard(member)
        elif not self._is_over:
            how = member.ending = member.ending or describe_exit(status)
            pause = self._history.died(member.index, member.age, how)
            later = f"; it is started anew in {pause:g} s" if pause else ""
            log.error("worker %d (pid %d) died: %s%s", member.index, member.pid, how, later)
            await self._replace(member, pause)

    async def _replace(self, dead: Member, pause: float) -> None:
        while not self._is_over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_changed.wait(), pause)
            if dead not in self.members:
                return  # a rolling restart has put another one in its place
            fresh = self._create(dead.index, True)
            try:
                await self._start_one(fresh)
            except Exception as error:  # whatever it is, the gateway must not be left without workers
                pause = longer(pause)
                dead.ending = f"does not start: {error}"
                log.error("worker %d does not start: %s; next try in %g s", dead.index, error, pause)
                continue
            if dead in self.members:
                self.members[self.members.index(dead)] = fresh
                self._watch(fresh)
                log.info("worker %d is back (pid %d)", fresh.index, fresh.pid)
            else:
                fresh.drain()
            return

    def try_again(self) -> None:
        """Whatever made workers die may be mended: those that wait to be started anew are started now."""
        self._has_changed.set()
        self._has_changed = asyncio.Event()

    # -- change ------------------------------------------------------------------------------------------------

    async def renew(self, index: int, probation: float, patience: float) -> None:
        """Start another worker for an index, which must live for `probation` seconds; then the one before leaves.

        It has `patience` seconds for what it has begun. Raises ConfigurationError, and the one before stays.
        """
        fresh = self._create(index, False)
        await self._start_one(fresh, probation)
        self._watch(fresh)
        if index < len(self.members):
            # Whoever is there now: one that died meanwhile has been replaced.
            self.members[index], old = fresh, self.members[index]
            self._retire(old, patience)
        else:
            self.members.append(fresh)

    def shrink(self, count: int, patience: float) -> None:
        """Let those beyond so many leave."""
        for member in self.members[count:]:
            self.members.remove(member)
            self._retire(member, patience)

    def _retire(self, member: Member, patience: float) -> None:
        if not member.is_running:
            return
        self._leaving.add(member)
        if not member.is_pinged:
            member.ping()  # whoever answers has heard that it is to leave, and has its time; see `pulse`
        member.drain()
        asyncio.get_running_loop().call_later(patience + KILL_AFTER_SECONDS, _kill_late, member, patience)

    # -- stop --------------------------------------------------------------------------------------------------

    async def end(self, patience: float, is_impatient: asyncio.Event) -> None:
        """Let everyone finish and leave; after `patience` seconds, or when impatience comes, they are killed."""
        self._is_over = True
        members = [*self.members, *self._starting, *self._leaving]
        for member in members:
            member.drain()
            if not member.is_ready:  # nothing is in flight there, and a startup that blocks it hears nothing
                asyncio.get_running_loop().call_later(KILL_AFTER_SECONDS, member.kill)
            elif member.is_silent:
                asyncio.get_running_loop().call_later(KILL_AFTER_SECONDS, _kill_silent, member)
        waits = [asyncio.ensure_future(member.wait()) for member in members if member.is_running]
        if waits:
            impatient = asyncio.ensure_future(is_impatient.wait())
            everyone = asyncio.ensure_future(asyncio.wait(waits))
            await asyncio.wait(
                (everyone, impatient),
                timeout=patience + KILL_AFTER_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            impatient.cancel()
            everyone.cancel()
        for member in members:
            if is_impatient.is_set():
                member.kill()
            else:
                _kill_late(member, patience)


def _kill_late(member: Member, patience: float) -> None:
    """End a worker that has not ended by itself, and say so: it may be a plugin's shutdown that never returns."""
    if member.is_running:
        log.warning(
            "worker %d (pid %d) has not ended %g s after its time to drain (%g s); it is killed",
            member.index, member.pid, KILL_AFTER_SECONDS, patience,
        )  # fmt: skip
        member.kill()


def _kill_silent(member: Member) -> None:
    if member.is_silent:
        member.kill()
