"""Whether workers still answer: each is asked once a second, told of when it is silent, and killed if it stays so.

Owns the patience. That a worker that dies is replaced is the crew's business. A worker that hangs still holds its
share of the connections, and worker 0 the jobs that one does for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.process.crew import Crew
from gateway.process.member import PING_SECONDS, SILENT_PINGS, Member

log = logging.getLogger("gateway.supervisor")


class Pulse:
    """Looks after the workers of a crew."""

    def __init__(self, crew: Crew, patience: Callable[[], float]) -> None:
        """`patience` gives the seconds after which a worker that does not answer is killed; 0 means never."""
        self._crew = crew
        self._patience = patience

    async def watch(self) -> None:
        """Look once a second, until all are to leave."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self._crew.is_over:
                return
            self.look()

    def look(self) -> None:
        """Ask each that serves, and see who has not answered."""
        for member in self._crew.living:
            if member.is_ready and not member.is_preparing and not member.ending:
                self._look_at(member)
        for member in self._crew.leaving:
            if member.is_pinged and not member.ending:
                self._look_at_leaving(member)

    def _look_at(self, member: Member) -> None:
        member.ping()
        patience = self._patience()
        if patience and member.silent_seconds >= patience:
            log.error("%s has not answered for %g s, and is killed", member.name, member.silent_seconds)
            _kill(member)
        elif member.unanswered == SILENT_PINGS:
            then = f"after {patience:g} s it is killed" if patience else "it is left alone, as worker_timeout is 0"
            resting = "" if member.index else "; what it does for all (health checks, discovery) rests"
            log.warning("%s has not answered for %g s; %s%s", member.name, member.silent_seconds, then, resting)

    def _look_at_leaving(self, member: Member) -> None:
        """One that has not even heard that it is to leave will not do so by itself."""
        member.ping()
        patience = self._patience()
        if patience and member.silent_seconds >= min(patience, SILENT_PINGS * PING_SECONDS):
            log.error("%s is to leave, but does not answer, and is killed", member.name)
            _kill(member)


def _kill(member: Member) -> None:
    member.ending = f"killed, for it had not answered for {member.silent_seconds:g} s"
    member.kill()
