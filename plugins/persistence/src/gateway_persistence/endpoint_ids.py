"""Which endpoint an opaque id stands for, and the other way round: a table for each upstream.

Made anew when the upstream's endpoints or the keys have changed. Does not look at the state of endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway import Endpoint, Upstream
from gateway_persistence.keys import Key, KeyRing


class IdTable:
    """The ids of one upstream's endpoints, under every key."""

    __slots__ = ("by_id", "endpoints", "ids", "keys", "upstream")

    def __init__(self, upstream: str, endpoints: Sequence[Endpoint], keys: tuple[Key, ...]) -> None:
        self.upstream = upstream
        self.endpoints = endpoints
        self.keys = keys
        self.by_id: dict[bytes, tuple[Endpoint, Key]] = {
            key.id_of(upstream, endpoint.name): (endpoint, key) for key in reversed(keys) for endpoint in endpoints
        }
        """From the id to the endpoint, and to the key that the id was made with."""
        self.ids: dict[Endpoint, bytes] = {
            endpoint: keys[0].id_of(upstream, endpoint.name) for endpoint in endpoints if keys
        }
        """From the endpoint to the id to be given out."""


class EndpointIds:
    """The tables of all upstreams."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._tables: dict[str, IdTable] = {}

    def of(self, upstream: Upstream) -> IdTable:
        """The table as it is now."""
        # hot: l7-balancer
        table = self._tables.get(upstream.name)
        if table is None or table.endpoints is not upstream.endpoints or table.keys is not self._ring.keys:
            table = self._tables[upstream.name] = IdTable(upstream.name, upstream.endpoints, self._ring.keys)
        return table


__all__ = ["EndpointIds", "IdTable"]
