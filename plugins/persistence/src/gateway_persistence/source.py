"""The method `source`: the client's address, or the network around it, is the session's key.

The address is `request.client`: the peer's, or what a trusted proxy says of the client.
"""

from __future__ import annotations

import functools
import ipaddress

from gateway import Exchange, Response

REMEMBERED = 65_536
"""Addresses whose network is remembered: to parse one takes longer than everything else here."""


class ClientAddress:
    """The client's address, cut to a prefix."""

    def __init__(self, ipv4_prefix: int, ipv6_prefix: int) -> None:
        self._lengths = {4: ipv4_prefix, 6: ipv6_prefix}
        self._network = functools.lru_cache(REMEMBERED)(self._cut)

    def of_request(self, exchange: Exchange) -> bytes | None:
        """The network; None for a client without an address (a Unix socket)."""
        # hot: l7-balancer
        return self._network(exchange.request.client)

    def of_response(self, response: Response) -> bytes | None:
        """Responses have no say."""
        return None

    def _cut(self, client: str) -> bytes | None:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        length = self._lengths[address.version]
        return b"%d/%d/%x" % (address.version, length, int(address) >> (address.max_prefixlen - length))


__all__ = ["ClientAddress"]
