"""The method `none`: no session is kept. For profiles that bring the plugin along and leave it to the site.

Owns nothing: it has no hook.
"""

from __future__ import annotations

from gateway_persistence.plugin import Persistence
from gateway_persistence.settings import Settings


class NoSessions(Persistence, kinds=("none",)):
    """Leave every exchange to the balancer."""

    on_select = None  # type: ignore[assignment]  # takes the hook away: even an idle one costs each exchange

    def __init__(self, config: Settings) -> None:
        """There is nothing to set."""


__all__ = ["NoSessions"]
