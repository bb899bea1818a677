"""Sessions that are remembered in a store: how each is called there, and what an exchange knows of its own.

Owns the hash of a session's key and the way from an endpoint's name to the endpoint. Does not know where a key
comes from (`learned`, `header`, `source`) nor where bindings are kept (`stores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

from gateway import Endpoint, Exchange, Response, Upstream
from gateway_persistence.header import HeaderKey
from gateway_persistence.learned import LearnedCookie
from gateway_persistence.settings import Settings
from gateway_persistence.source import ClientAddress


class KeySource(Protocol):
    """How a session is recognised."""

    def of_request(self, exchange: Exchange) -> bytes | None:
        """What the exchange's session is called; None if it belongs to none."""
        ...

    def of_response(self, response: Response) -> bytes | None:
        """What the session is called from this response on; None if that does not change."""
        ...


def key_source(config: Settings) -> KeySource:
    """The source of the chosen method."""
    if config.method == "learned":
        return LearnedCookie(config.name)
    if config.method == "header":
        return HeaderKey(config.name)
    return ClientAddress(config.ipv4_prefix, config.ipv6_prefix)


class SessionHash:
    """Hashes that stand for sessions in a store: nobody can read a key out of one.

    Different methods, names and upstreams give different hashes. With a secret nobody can guess a key by hashing
    candidates either (there are not that many addresses).
    """

    def __init__(self, config: Settings) -> None:
        secret = config.secrets[0].encode() if config.secrets else b""
        self._key = blake2b(secret, digest_size=32).digest() if secret else b""
        self._context = f"{config.method} {config.name.lower() if config.method == 'header' else config.name}"
        self._starts: dict[str, blake2b] = {}

    def __call__(self, upstream: str, key: bytes) -> str:
        """32 hexadecimal digits."""
        # hot: l7-balancer
        start = self._starts.get(upstream)
        if start is None:
            start = blake2b(f"{self._context}\0{upstream}\0".encode(), digest_size=16, key=self._key)
            self._starts[upstream] = start
        made = start.copy()
        made.update(key)
        return made.hexdigest()


class NameTables:
    """From names to endpoints, for each upstream; made anew when its endpoints change."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[Sequence[Endpoint], dict[str, Endpoint]]] = {}

    def find(self, upstream: Upstream, name: str) -> Endpoint | None:
        """The endpoint of a name, however many there are."""
        # hot: l7-balancer
        table = self._tables.get(upstream.name)
        if table is None or table[0] is not upstream.endpoints:
            table = (upstream.endpoints, {endpoint.name: endpoint for endpoint in upstream.endpoints})
            self._tables[upstream.name] = table
        return table[1].get(name)


class Session:
    """What an exchange knows of its session."""

    __slots__ = ("bound", "endpoint", "key", "upstream")

    def __init__(self, key: str, upstream: Upstream, bound: str, endpoint: Endpoint | None) -> None:
        self.key = key
        self.upstream = upstream
        self.bound = bound
        """The name of the endpoint that it was bound to when the exchange began; empty for none."""
        self.endpoint = endpoint
        """That endpoint, if the upstream still has it."""


__all__ = ["KeySource", "NameTables", "Session", "SessionHash", "key_source"]
