"""Challenges that are pending, brought to every worker: one of them asks, and any of them may be asked back.

Owns the topics on the bus. What an answer looks like to the ACME server is decided by who hears of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

from gateway import App, new_id

TOPIC = "tls.acme"
HEARD = "tls.acme.heard"
HEARD_SECONDS = 3.0
"""Workers that have not said by then that they know the answers are not waited for."""


class Pending:
    """The answers to challenges of one kind, as this process knows them."""

    def __init__(self, app: App, challenge: str, change: Callable[[dict[str, str]], None]) -> None:
        """`change` is called with all answers whenever they are others: authorizations by token or by host."""
        self._app = app
        self._challenge = challenge
        self._change = change
        self._by_job: dict[str, dict[str, str]] = {}
        self._end = app.bus.subscribe(TOPIC, self._hear)

    def close(self) -> None:
        """Hear of no more."""
        self._end()

    def _hear(self, message: dict[str, Any]) -> None:
        if message["challenge"] == self._challenge:
            self._by_job[message["job"]] = message["answers"]
            self._change({name: answer for answers in self._by_job.values() for name, answer in answers.items()})
        self._app.bus.publish(HEARD, {"round": message["round"], "process": os.getpid()})


class Board:
    """Where the worker that asks says what is to be answered."""

    def __init__(self, app: App, challenge: str, job: str) -> None:
        self._app = app
        self._challenge = challenge
        self._job = job

    async def show(self, answers: Mapping[str, str]) -> None:
        """Return when every worker knows the answers, or after a while: one may just be gone."""
        round_, everybody = new_id(), asyncio.Event()
        heard: set[int] = set()

        def hear(message: dict[str, Any]) -> None:
            if message["round"] == round_:
                heard.add(message["process"])
                if len(heard) >= self._app.settings.workers:
                    everybody.set()

        end = self._app.bus.subscribe(HEARD, hear)
        try:
            self._publish(answers, round_)
            async with asyncio.timeout(HEARD_SECONDS):
                await everybody.wait()
        except TimeoutError:
            pass
        finally:
            end()

    def clear(self) -> None:
        """Nothing is to be answered any more."""
        self._publish({}, "")

    def _publish(self, answers: Mapping[str, str], round_: str) -> None:
        message = {"job": self._job, "challenge": self._challenge, "answers": dict(answers), "round": round_}
        self._app.bus.publish(TOPIC, message, keep=self._job)
