"""Keys: who is meant by an opaque id, and whether a cookie is ours.

Owns what is derived from a secret, and the random secret that workers share when none is set. Does not know
cookies or endpoints.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable, Iterable

from gateway import App

log = logging.getLogger("gateway.persistence")

TOPIC = "persistence.secret"
"""Under which the random secret is kept on the bus: workers that start later, and reloads, find it there."""

ID_CHARACTERS = 16
SEAL_CHARACTERS = 32


class Key:
    """What one secret gives: ids that nobody else can make or read, and seals that nobody else can make."""

    __slots__ = ("_naming", "_sealing")

    def __init__(self, secret: str) -> None:
        self._naming = hmac.digest(secret.encode(), b"gateway-persistence id", "sha256")
        self._sealing = hmac.digest(secret.encode(), b"gateway-persistence seal", "sha256")

    def id_of(self, upstream: str, endpoint: str) -> bytes:
        """Sixteen hexadecimal digits that stand for an endpoint of an upstream."""
        name = f"{len(upstream)} {upstream} {endpoint}".encode()
        return hmac.digest(self._naming, name, "sha256").hex()[:ID_CHARACTERS].encode()

    def sealed(self, payload: bytes) -> bytes:
        """The payload with its seal behind it."""
        return payload + hmac.digest(self._sealing, payload, "sha256").hex()[:SEAL_CHARACTERS].encode()

    def is_genuine(self, sealed: bytes) -> bool:
        """Whether we have sealed this; takes the same time wherever a forgery differs."""
        return hmac.compare_digest(sealed, self.sealed(sealed[:-SEAL_CHARACTERS]))

    def __repr__(self) -> str:
        return "<Key>"


class KeyRing:
    """The keys of one plugin, the one to make new cookies with first.

    Empty until the first worker has shared its random secret, if none is set: the blink of an eye, in which
    sessions are neither begun nor recognised.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.keys: tuple[Key, ...] = tuple(map(Key, secrets))
        """A new tuple if they ever change."""
        self._unsubscribe: Callable[[], None] = lambda: None

    def open(self, app: App) -> None:
        """Without a secret: take the random one of this gateway, or make it."""
        if self.keys:
            return
        self._unsubscribe = app.bus.subscribe(TOPIC, self._take)
        if not self.keys and app.once(TOPIC):
            log.info("persistence: no secret is set: sessions end when the whole gateway restarts")
            app.bus.publish(TOPIC, secrets.token_hex(32), keep="secret")

    def close(self) -> None:
        """No longer listen for it."""
        self._unsubscribe()

    def _take(self, secret: str) -> None:
        self.keys = (Key(secret),)


__all__ = ["ID_CHARACTERS", "SEAL_CHARACTERS", "Key", "KeyRing"]
