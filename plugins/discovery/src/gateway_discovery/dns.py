"""Endpoints from DNS: the addresses of a name, or the hosts of a service (RFC 2782).

Owns what records mean, and that the system's file of hosts goes before the system's name servers. When to ask again
is said by the time to live of records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.rdatatype import AAAA, SRV, A, RdataType
from dns.resolver import Answer, LifetimeTimeout, NoAnswer

from gateway import EndpointSettings
from gateway_discovery.lookup import Found, NotFound

T = TypeVar("T")

DNS_PORT = 53
HOSTS = Path("/etc/hosts")
HOSTS_SECONDS = 10.0
"""How long holds what the file of hosts says."""
MOST_PRIORITY = 255
"""Priorities are counted from 0 in their order: those of SRV records reach to 65535."""


class NameResolver(Resolver):
    """Asks name servers; `addresses_of` looks into a file of hosts before."""

    hosts: Path | None = None
    """None for servers that the configuration names: those are asked and nobody else."""


def make_resolver(servers: Sequence[str], seconds: float) -> NameResolver:
    """A resolver that asks these servers, or the system's. Raises ValueError for what is no address."""
    resolver = NameResolver(configure=not servers)
    resolver.hosts = None if servers else HOSTS
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

    def __init__(self, resolver: NameResolver, place: str, scheme: str) -> None:
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

    def __init__(self, resolver: NameResolver, name: str, scheme: str) -> None:
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


async def addresses_of(resolver: NameResolver, name: str) -> tuple[list[str], float]:
    """Every address of a name as it stands in a URL, and for how long they hold. Raises NotFound."""
    if resolver.hosts is not None:
        listed = await asyncio.to_thread(listed_addresses, resolver.hosts, name)
        if listed:
            return [_in_url(address) for address in listed], HOSTS_SECONDS
    answers = await _all(ask(resolver, name, kind) for kind in (A, AAAA))
    found = [answer for answer in answers if answer is not None and answer.rrset is not None]
    addresses = [record.to_text() for answer in found for record in answer]
    if not addresses:
        raise NotFound(f"{name} has no address")
    seconds = float(min(answer.rrset.ttl for answer in found if answer.rrset is not None))
    return [_in_url(address) for address in addresses], seconds


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def listed_addresses(hosts: Path, name: str) -> list[str]:
    """The addresses that a file of hosts (hosts(5)) gives a name; none if there is no such file."""
    try:
        text = hosts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    wanted = name.lower().removesuffix(".")
    lines = [line.partition("#")[0].lower().split() for line in text.splitlines()]
    found = dict.fromkeys(words[0] for words in lines if wanted in words[1:])
    return [address for address in found if "%" not in address]  # an interface's name has no place in a URL


async def _all(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The answers to all of them. The failure is that of the first that failed in their order, not in time."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return cast("list[T]", answers)


async def ask(resolver: NameResolver, name: str, kind: RdataType) -> Answer | None:
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
