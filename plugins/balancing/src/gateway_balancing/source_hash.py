"""The balancer `source-hash`: the same client, or the same network, comes to the same endpoint."""

from __future__ import annotations

from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Annotated

from pydantic import Field

from gateway import Exchange, PluginConfig
from gateway_balancing.by_key import ByKey
from gateway_balancing.keys import Key
from gateway_balancing.loads import BalanceFactor
from gateway_balancing.ring_hash import Rings

MAX_CLIENTS = 8192
"""Clients whose network is remembered."""
MAPPED = b"\0" * 10 + b"\xff\xff"
"""How an IPv6 address begins that stands for an IPv4 address (RFC 4291 2.5.5.2)."""


class SourceHash(ByKey):
    """Consistent hashing of the client's address, on the ring of `ring-hash`. Clients without one go anywhere."""

    class Config(PluginConfig):
        """Which part of an address counts, and how far one endpoint may be ahead of the others."""

        prefix_v4: Annotated[int, Field(ge=1, le=32)] = 32
        """Leading bits of an IPv4 address that count: 24 keeps a network of 256 addresses together."""
        prefix_v6: Annotated[int, Field(ge=1, le=128)] = 64
        """Leading bits of an IPv6 address that count: devices of a network change the last 64 at will."""
        balance_factor: BalanceFactor = 0.0
        """Bounded loads: an endpoint that would have more than so many times the average in flight, by weight, is
        passed over for the next in line. 0 means no bound."""

    def __init__(self, config: Config) -> None:
        key = network_function(config.prefix_v4, config.prefix_v6)
        super().__init__(key, Rings().make, config.balance_factor)


def network_function(prefix_v4: int, prefix_v6: int) -> Key:
    """A function of an exchange: the network that its client is in."""
    mask_v4 = _mask(prefix_v4, 32)
    mask_v6 = _mask(prefix_v6, 128)

    @lru_cache(MAX_CLIENTS)
    def network_of(client: str) -> bytes | None:
        if not client:
            return None
        try:
            if ":" in client:
                raw = inet_pton(AF_INET6, client.partition("%")[0])
                if not raw.startswith(MAPPED):
                    return (int.from_bytes(raw, "big") & mask_v6).to_bytes(16, "big")
                raw = raw[12:]
            else:
                raw = inet_pton(AF_INET, client)
        except OSError:
            return client.encode()
        return (int.from_bytes(raw, "big") & mask_v4).to_bytes(4, "big")

    def network(exchange: Exchange) -> bytes | None:
        # hot: l7-balancer
        return network_of(exchange.request.client)

    return network


def _mask(prefix: int, bits: int) -> int:
    return (1 << bits) - (1 << (bits - prefix))
