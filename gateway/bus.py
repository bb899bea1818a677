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

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Call back with every message on a topic, from whichever worker it comes, one's own included.

        Returns what ends the subscription: a plugin calls it in `shutdown`, for a reload leaves the bus in place.
        """
        callbacks = self._subscribers.setdefault(topic, [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback) if callback in callbacks else None

    def publish(self, topic: str, message: Any) -> None:
        """Send a message (anything that JSON can say) to every subscriber of every worker."""
        self.deliver(topic, message)

    def deliver(self, topic: str, message: Any) -> None:
        """Hand a message to the subscribers here; one that fails is logged and does not stop the others."""
        for callback in tuple(self._subscribers.get(topic, ())):
            try:
                callback(message)
            except Exception:
                log.exception("a subscriber of %r failed", topic)
