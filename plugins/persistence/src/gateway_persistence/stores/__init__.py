"""What a store of sessions is, whichever it is.

Each has a file of its own; `guarded` stands before those that can be away.
"""

from __future__ import annotations

from typing import Protocol


class StoreAway(Exception):
    """The store did not answer, or is not asked because it has just failed to. Nothing is known of the session."""


class SessionStore(Protocol):
    """Which session belongs to which endpoint, somewhere over the network. Any method may raise anything.

    A session is forgotten when it was neither looked up nor bound for the time to live.
    """

    async def get(self, key: str) -> str:
        """The endpoint's name, empty for none. The session's time begins anew."""
        ...

    async def put(self, key: str, endpoint: str, replacing: str | None) -> str:
        """Bind a session; the endpoint that holds afterwards.

        Nothing is written if the session is bound to another endpoint than `replacing` (empty: to any), for then
        another worker was quicker. None replaces whatever is there.
        """
        ...

    async def close(self) -> None:
        """Give up the connections."""
        ...


__all__ = ["SessionStore", "StoreAway"]
