"""Endpoints from DNS: the addresses of a name, or the hosts of a service (RFC 2782).

Owns what records mean. When to ask again is said by their time to live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar, cast

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.rdatatype import AAAA, SRV, A, RdataType
from dns.resolver import Answer, LifetimeTimeout, NoAnswer

from gateway import EndpointSettings
from gateway_discovery.lookup import Found, NotFound

T = TypeVar("T")

DNS_PORT = 53
MOST_PRIORITY = 255
"""Priorities are counted from 0 in their order: those of SRV records reach to 65535."""


def make_resolver(servers: Sequence[str], seconds: float) -> Resolver:
    """A resolver that asks these servers, or the system's. Raises ValueError for what is no address."""
    resolver = Resolver(configure=not servers)
    resolver.lifetime = seconds or 5.0
    if servers:
        nameservers, ports = [], {}
        for server in servers:
            address, port = _split(server)
            nameservers.append(address)
            ports[address] = port
        resolver.nameservers = nameservers
        resolver.nameserver_ports = ports
    return resolver


def _split(server: str) -> tuple[str, int]:
    """`10.0.0.1`, `10.0.0.1:5353`, `::1` or `[::1]:5353`."""
    if server.startswith("["):
        address, _, port = server[1:].partition("]:")
        return address.rstrip("]"), int(port or DNS_PORT)
    address, colon, port = server.rpartition(":")
    return (address, int(port)) if colon and ":" not in address else (server, DNS_PORT)


class AddressLookup:
    """Every address of a name, all with one port."""

    def __init__(self, resolver: Resolver, place: str, scheme: str) -> None:
        self._resolver = resolver
        self._name, _, self._port = place.rpartition(":")
        self._scheme = scheme

    async def look(self) -> Found:
        """An endpoint for each A and AAAA record. Raises NotFound."""
        addresses, seconds = await addresses_of(self._resolver, self._name)
        urls = [f"{self._scheme}://{address}:{self._port}" for address in addresses]
        return Found([EndpointSettings(url=url) for url in urls], seconds)


class ServiceLookup:
    """The hosts of a service, with their ports, priorities and weights."""

    def __init__(self, resolver: Resolver, name: str, scheme: str) -> None:
        self._resolver = resolver
        self._name = name
        self._scheme = scheme

    async def look(self) -> Found:
        """An endpoint for each address of each target. Raises NotFound."""
        answer = await ask(self._resolver, self._name, SRV)
        if answer is None:
            raise NotFound(f"{self._name} has no SRV record")
        records = [record for record in answer if str(record.target) != "."]
        ranks = {number: rank for rank, number in enumerate(sorted({record.priority for record in records}))}
        targets = await _all(addresses_of(self._resolver, str(record.target)) for record in records)
        endpoints, least = [], float(answer.rrset.ttl) if answer.rrset else 0.0
        for record, (addresses, seconds) in zip(records, targets, strict=True):
            least = min(least, seconds)
            for address in addresses:
                url = f"{self._scheme}://{address}:{record.port}"
                priority = min(ranks[record.priority], MOST_PRIORITY)
                # A weight of 0 means a very small chance, not none (RFC 2782).
                endpoints.append(EndpointSettings(url=url, weight=max(1, record.weight), priority=priority))
        return Found(endpoints, least)


async def addresses_of(resolver: Resolver, name: str) -> tuple[list[str], float]:
    """Every address of a name as it stands in a URL, and for how long they hold. Raises NotFound."""
    answers = await _all(ask(resolver, name, kind) for kind in (A, AAAA))
    found = [answer for answer in answers if answer is not None and answer.rrset is not None]
    addresses = [record.to_text() for answer in found for record in answer]
    if not addresses:
        raise NotFound(f"{name} has no address")
    written = [f"[{address}]" if ":" in address else address for address in addresses]
    return written, float(min(answer.rrset.ttl for answer in found if answer.rrset is not None))


async def _all(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The answers to all of them. The failure is that of the first that failed in their order, not in time."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return cast("list[T]", answers)


async def ask(resolver: Resolver, name: str, kind: RdataType) -> Answer | None:
    """The records of a kind; None if there are none of this kind. Raises NotFound."""
    try:
        return await resolver.resolve(name, kind, search=False)
    except NoAnswer:
        return None
    except LifetimeTimeout:  # its own words tell the time in ms, and would be others each time
        servers = ", ".join(map(str, resolver.nameservers))
        raise NotFound(f"{name} cannot be resolved: no answer in time from {servers}") from None
    except (DNSException, OSError) as error:
        raise NotFound(f"{name} cannot be resolved: {error}") from None
