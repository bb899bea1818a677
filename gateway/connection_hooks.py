"""Ask plugins about connections, and tell those that let one pass when it is over.

Owns `on_connect` and `on_disconnect`. A plugin that fails denies: who looks at connections guards something.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Sequence

from gateway.connection import Connection, Deny
from gateway.errors import FAILURES, is_cancelled
from gateway.pipeline import Step, order_hooks

log = logging.getLogger("gateway.listeners")

HANGING_SECONDS = 10.0
"""So often the log says of a plugin that its on_connect does not return; every connection may be one of those."""


class ConnectionHooks:
    """The implementations of all plugins, in order."""

    def __init__(self, plugins: Sequence[tuple[str, object]]) -> None:
        hooks = order_hooks(plugins)
        self._on_connect: tuple[Step, ...] = hooks["on_connect"]
        self._on_disconnect: tuple[Step, ...] = hooks["on_disconnect"]
        asked = {step.position for step in self._on_connect}
        self._unasked = tuple(step.position for step in self._on_disconnect if step.position not in asked)
        """Plugins that only want to know when a connection is over: they let pass whatever comes to them."""
        self._told_of: dict[str, float] = {}
        """When the log said last of a plugin that it hangs."""

    @property
    def names(self) -> list[str]:
        """The plugins that are asked or told."""
        told = [step.plugin for step in self._on_disconnect if step.position in self._unasked]
        return [*(step.plugin for step in self._on_connect), *told]

    async def connect(self, connection: Connection) -> Deny | None:
        """Ask one after the other; the first Deny is the answer, and those before it hear of the end at once."""
        for number, step in enumerate(self._on_connect):
            try:
                said = step.call(connection)
                if inspect.isawaitable(said):
                    said = await said
                if said is not None and not isinstance(said, Deny):
                    raise TypeError(f"on_connect returns None or a Deny, not {said!r}")
            except BaseException as error:
                self._tell(connection, self._before(number))
                if is_cancelled(error):
                    self._tell_hanging(step, connection)
                    raise
                if not isinstance(error, FAILURES):
                    raise
                log.exception("plugin %r failed in on_connect; %r is denied", step.plugin, connection)
                return Deny(f"plugin {step.plugin!r} failed")
            if said is not None:
                self._tell(connection, self._before(number))
                return Deny(f"{step.plugin}: {said.reason}")
        return None

    def _before(self, number: int) -> set[int]:
        """Who has let a connection pass that this one of those who are asked did not."""
        place = self._on_connect[number].position
        passed = {step.position for step in self._on_connect[:number]}
        return passed | {position for position in self._unasked if position < place}

    def _tell_hanging(self, step: Step, connection: Connection) -> None:
        now = time.monotonic()
        if now - self._told_of.get(step.plugin, -HANGING_SECONDS) >= HANGING_SECONDS:
            self._told_of[step.plugin] = now
            log.warning("plugin %r: its on_connect had not returned when %r was given up", step.plugin, connection)

    def disconnect(self, connection: Connection) -> None:
        """A connection that all let pass is over."""
        self._tell(connection, None)

    def _tell(self, connection: Connection, positions: set[int] | None) -> None:
        for step in self._on_disconnect:
            if positions is None or step.position in positions:
                try:
                    step.call(connection)
                except Exception:
                    log.exception("plugin %r failed in on_disconnect", step.plugin)
