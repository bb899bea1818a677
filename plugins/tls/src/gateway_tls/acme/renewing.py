"""When a certificate is ordered, and again: at two thirds of its lifetime, or when the server would have it so.

Owns the moments and the log. Talks to the server in a thread, under a lock that all share who share the storage.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway import App
from gateway_tls.acme.pending import HEARD_SECONDS, Board
from gateway_tls.acme.settings import Acme
from gateway_tls.acme.storage import Storage
from gateway_tls.certificates import Facts, read_facts

if TYPE_CHECKING:
    from gateway_tls.acme.server import Server

log = logging.getLogger("gateway.tls")

T = TypeVar("T")

JOB = "tls.acme"
LOOK_SECONDS = 3600.0
"""The longest time between two looks: clocks are set, machines sleep, files get lost."""
START_SECONDS = 1.0
"""Before the first one: a reload may yet be given up, and must be in force when the server looks."""
FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 6 * 3600.0
LATEST_SHARE = 0.9
"""Of a lifetime, whatever the server suggests."""


class Failed(Exception):
    """There is no certificate this time; the text says why."""


class Renewal:
    """The job of one certificate."""

    def __init__(self, app: App, settings: Acme, storage: Storage) -> None:
        self._app = app
        self._settings = settings
        self._storage = storage
        self._name = settings.domains[0]
        self._board = Board(app, settings.challenge, storage.name)
        self._loop = asyncio.get_running_loop()
        # Not those of one day all on one day.
        self._share = 2 / 3 + random.uniform(-0.02, 0.02)
        self._has_one = False
        self._suggested = 0.0
        self._ask_again = time.time() + random.uniform(0.1, 1) * LOOK_SECONDS
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Begin nothing more; an order under way may end."""
        self._task.cancel()

    async def _run(self) -> None:
        self._has_one = self._storage.serving() is not None
        if not self._has_one:
            log.warning(
                "tls.acme: %s: there is no certificate yet; one that no client believes stands in for it",
                self._name,
            )
        await asyncio.sleep(START_SECONDS)
        failures = 0
        while self._app.once(JOB):
            try:
                wait = await in_thread(self._look)
                failures = 0
            except Exception as error:
                failures += 1
                wait = max(pause_after(failures), self._storage.paused_until - time.time())
                self._tell(error, wait)
            await asyncio.sleep(wait)

    def _tell(self, error: Exception, wait: float) -> None:
        kept = "the old one stays in use" if self._has_one else "there is none yet"
        again = f"{kept}; tried again in {_told(wait)}"
        if isinstance(error, Failed):
            log.warning("tls.acme: %s: no new certificate: %s; %s", self._name, error, again)
        else:
            log.error("tls.acme: %s: no new certificate; %s", self._name, again, exc_info=error)

    # -- in a thread -------------------------------------------------------------------------------------------

    def _look(self) -> float:
        """Order a certificate if it is time to; seconds until the next look. Raises Failed."""
        wait = self._wait()
        if wait <= 0:
            with self._storage.lock():
                # Whoever had it before may have done it, and we may have been replaced meanwhile.
                wait = self._wait()
                if wait <= 0 and self._app.once(JOB):
                    self._renew()
                    wait = self._wait()
                    if wait <= 0:  # else it would be ordered over and over
                        raise Failed("the new one would have to be renewed already; is the clock right?")
        return min(max(wait, 1.0), LOOK_SECONDS)

    def _wait(self) -> float:
        """Seconds until it is time."""
        try:
            facts = read_facts(self._storage.certificate)
        except (OSError, ValueError):
            due = 0.0
        else:
            due = due_at(facts, self._share)
            if due > time.time() >= self._ask_again:
                self._ask(self._storage.certificate)
            due = min(self._suggested, due_at(facts, LATEST_SHARE)) if self._suggested else due
        return max(due, self._storage.paused_until) - time.time()

    def _ask(self, certificate: Path) -> None:
        """What the server says of the moment; a server that says nothing, or is not there, leaves it to us."""
        from gateway_tls.acme.server import Server

        again = 0.0
        server = Server(self._settings)
        try:
            self._suggested, again = server.suggested_renewal(certificate.read_bytes())
        except Exception as error:
            log.debug("tls.acme: %s cannot be asked when to renew: %r", self._settings.directory, error)
        finally:
            server.close()
        self._ask_again = max(again, time.time() + LOOK_SECONDS)

    def _renew(self) -> None:
        # Costs 9 MB, which workers without this job are spared.
        from gateway_tls.acme.server import FAILURES, Server, account_key, words_of

        server = None
        try:
            server = Server(self._settings, account_key(self._storage))
            self._order(server)
        except FAILURES as error:
            if server is not None and server.retry_at > time.time():
                self._storage.pause_until(server.retry_at)
            raise Failed(words_of(error, self._settings.directory)) from error
        finally:
            if server is not None:
                server.close()

    def _order(self, server: Server) -> None:
        server.sign_in()
        try:
            pem = server.order(self._show)
        finally:
            self._storage.forget_answers()
            self._loop.call_soon_threadsafe(self._board.clear)
        self._storage.save_certificate(pem)
        self._suggested, self._has_one = 0.0, True
        facts = read_facts(self._storage.certificate)
        left = facts.ends.timestamp() - time.time()
        log.info("tls.acme: %s: certificate issued, for %s", " ".join(facts.names), _told(left))

    def _show(self, answers: Mapping[str, str]) -> None:
        self._storage.show_answers(self._settings.challenge, answers)
        shown = asyncio.run_coroutine_threadsafe(self._board.show(answers), self._loop)
        shown.result(2 * HEARD_SECONDS)


def due_at(facts: Facts, share: float) -> float:
    """The moment, in seconds since the epoch, at which this share of a certificate's lifetime is over."""
    begins, ends = facts.begins.timestamp(), facts.ends.timestamp()
    return begins + (ends - begins) * share


def pause_after(failures: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds before the next try: twice as many after each failure; up to a quarter is left out at random."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE_SECONDS)
    return longest * (1 - chance() / 4)


async def in_thread(function: Callable[[], T]) -> T:
    """What a function that blocks returns. Unlike asyncio's, its thread holds up no process that wants to end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = (function(), None)
        except BaseException as error:
            outcome = (None, error)
        try:
            loop.call_soon_threadsafe(tell, *outcome)
        except RuntimeError:
            pass  # the loop is closed: nobody wants to know

    threading.Thread(target=run, name="tls.acme", daemon=True).start()
    return await done


def _told(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
