"""Ask plugins about connections, and tell those that let one pass when it is over.

Owns `on_connect` and `on_disconnect`. A plugin that fails denies: who looks at connections guards something.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence

from gateway.connection import Connection, Deny
from gateway.errors import FAILURES, is_cancelled
from gateway.pipeline import Step, order_hooks

log = logging.getLogger("gateway.listeners")


class ConnectionHooks:
    """The implementations of all plugins, in order."""

    def __init__(self, plugins: Sequence[tuple[str, object]]) -> None:
        hooks = order_hooks(plugins)
        self._on_connect: tuple[Step, ...] = hooks["on_connect"]
        self._on_disconnect: tuple[Step, ...] = hooks["on_disconnect"]

    @property
    def names(self) -> list[str]:
        """The plugins that are asked."""
        return [step.plugin for step in self._on_connect]

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
                self._tell(connection, {each.position for each in self._on_connect[:number]})
                if is_cancelled(error) or not isinstance(error, FAILURES):
                    raise
                log.exception("plugin %r failed in on_connect; %r is denied", step.plugin, connection)
                return Deny(f"plugin {step.plugin!r} failed")
            if said is not None:
                self._tell(connection, {each.position for each in self._on_connect[:number]})
                return Deny(f"{step.plugin}: {said.reason}")
        return None

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
