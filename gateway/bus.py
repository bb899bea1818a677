"""What joins the workers and the supervisor: topics, messages, subscribers.

Owns the interface that plugins see, and the delivery within one process. The way between processes is
`gateway.process.bus`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

log = logging.getLogger("gateway.bus")

Callback: TypeAlias = Callable[[Any], None]


class Bus:
    """Delivers messages to the subscribers in this process; the base of the one that reaches every worker."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Callback]] = {}
        self._kept: dict[str, dict[str, Any]] = {}

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Call back with every message on a topic, from whichever worker it comes, one's own included.

        The messages that are kept come at once. Returns what ends the subscription: a plugin calls it in
        `shutdown`, for a reload leaves the bus in place.
        """
        callbacks = self._subscribers.setdefault(topic, [])
        callbacks.append(callback)
        for message in self.kept(topic):
            self._call(callback, topic, message)
        return lambda: callbacks.remove(callback) if callback in callbacks else None

    def publish(self, topic: str, message: Any, keep: str = "") -> None:
        """Send a message (anything that JSON can say) to every subscriber of every worker.

        With `keep`, the latest message under that key is remembered for whoever subscribes later, in workers that
        are started later, too: for what is a state rather than an event. A message of None forgets it.
        """
        self.deliver(topic, message, keep)

    def kept(self, topic: str) -> tuple[Any, ...]:
        """The messages that are kept on a topic."""
        return tuple(self._kept.get(topic, {}).values())

    def deliver(self, topic: str, message: Any, keep: str = "") -> None:
        """Hand a message to the subscribers here; one that fails is logged and does not stop the others."""
        if keep:
            remember(self._kept, topic, message, keep)
        for callback in tuple(self._subscribers.get(topic, ())):
            self._call(callback, topic, message)

    def _call(self, callback: Callback, topic: str, message: Any) -> None:
        try:
            callback(message)
        except Exception:
            log.exception("a subscriber of %r failed", topic)


def remember(kept: dict[str, dict[str, Any]], topic: str, message: Any, key: str) -> None:
    """Put a message in the place of the former one under its topic and key; None takes it away."""
    if message is None:
        kept.get(topic, {}).pop(key, None)
    else:
        kept.setdefault(topic, {})[key] = message
