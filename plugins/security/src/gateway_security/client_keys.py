"""Whose request it is, for whoever counts: the setting `key`, compiled once to a function.

Owns the forms of a key and where each is found in a request. Does not count, and keeps nothing but addresses that
it has cut to their network already.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from gateway import Exchange, Headers, Network
from gateway_security.shared_table import Place

KeyOf: TypeAlias = Callable[[Exchange], bytes]
PlaceOf: TypeAlias = Callable[[Exchange], Place]

REMEMBERED = 16_384
"""Addresses whose place is remembered: to parse one and to hash it takes ten times as long as everything else."""

FORMS = '"client", "header:NAME", "cookie:NAME", "host", "path", "route" or "listener"'

_WHOLE = ("client", "host", "path", "route", "listener")


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _check(parts: tuple[str, ...]) -> tuple[str, ...]:
    if not parts:
        raise ValueError(f"expected {FORMS}, or a list of them")
    for part in parts:
        kind, _, name = part.partition(":")
        if part not in _WHOLE and not (kind in ("header", "cookie") and name):
            raise ValueError(f"expected {FORMS}, or a list of them, not {part!r}")
        if name:
            Headers().add(name, "")  # a cookie's name is a token, too (RFC 6265 4.1.1)
    return parts


KeyParts = Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_check)]
"""The setting: one form, or a list of several that count together."""


class Clients:
    """Clients by their address, cut to a network, and which of them are exempt."""

    def __init__(self, ipv4_prefix: int, ipv6_prefix: int, exempt: Sequence[Network] = ()) -> None:
        self._lengths = {4: ipv4_prefix, 6: ipv6_prefix}
        self._exempt = exempt
        self.network = functools.lru_cache(REMEMBERED)(self._cut)
        """What a client counts as; whoever has no address (a Unix socket) is one with all others that have none."""
        self.is_exempt = functools.lru_cache(REMEMBERED)(self._is_among)
        """Whether a client is not to be counted."""

    def _cut(self, client: str) -> bytes:
        address = _parse(client)
        if address is None:
            return b""
        bits = address.max_prefixlen - self._lengths[address.version]
        return b"%d/%x" % (address.version, int(address) >> bits)

    def _is_among(self, client: str) -> bool:
        address = _parse(client)
        return address is not None and any(address in network for network in self._exempt)


def _parse(client: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def key_of(parts: Sequence[str], clients: Clients) -> KeyOf:
    """The function that a setting means. A header or cookie that is not there is made up for by the client's
    address: to leave it out must neither free anybody nor throw all who do together."""
    found = [_part(part, clients) for part in parts]

    def key(exchange: Exchange) -> bytes:
        values = [part(exchange) for part in found]
        return b"".join([b"%d:%b" % (len(value), value) for value in values])  # no two lists read the same

    return key


def place_of(parts: Sequence[str], clients: Clients, place: Callable[[bytes], Place], salt: bytes = b"") -> PlaceOf:
    """Where a request's key stands in a table. Of keys that clients cannot lengthen at will, places are
    remembered."""
    key = key_of(parts, clients)
    if not set(parts) <= {"client", "route", "listener"}:
        return lambda exchange: place(salt + key(exchange))
    if tuple(parts) == ("client",):
        network = clients.network

        @functools.lru_cache(REMEMBERED)
        def of_client(client: str) -> Place:
            return place(salt + network(client))

        return lambda exchange: of_client(exchange.request.client)
    places: dict[bytes, Place] = {}

    def of_few(exchange: Exchange) -> Place:
        whole = key(exchange)
        found = places.get(whole)
        if found is None:
            if len(places) >= REMEMBERED:
                places.clear()
            found = places[whole] = place(salt + whole)
        return found

    return of_few


def _part(part: str, clients: Clients) -> KeyOf:
    kind, _, name = part.partition(":")
    if kind == "header":
        return _header(name.lower().encode(), clients)
    if kind == "cookie":
        return _cookie(name.encode(), clients)
    whole: dict[str, KeyOf] = {
        "client": lambda exchange: clients.network(exchange.request.client),
        "host": lambda exchange: exchange.request.host.encode("latin-1"),
        "path": lambda exchange: exchange.request.raw_path,
        "route": lambda exchange: exchange.route.name.encode(),
        "listener": lambda exchange: exchange.listener.encode(),
    }
    return whole[kind]


def _header(name: bytes, clients: Clients) -> KeyOf:
    def header(exchange: Exchange) -> bytes:
        for field, value in exchange.request.headers.raw:
            if field == name and value:
                return b"=" + value
        return clients.network(exchange.request.client)

    return header


def _cookie(name: bytes, clients: Clients) -> KeyOf:
    find = re.compile(rb"(?:^|;)[ \t]*" + re.escape(name) + rb"=[ \t]*([^;]*)").search

    def cookie(exchange: Exchange) -> bytes:
        for field, value in exchange.request.headers.raw:
            if field == b"cookie" and (match := find(value)) and (said := match[1].rstrip(b" \t")):
                return b"=" + said
        return clients.network(exchange.request.client)

    return cookie


__all__ = ["Clients", "KeyOf", "KeyParts", "PlaceOf", "key_of", "place_of"]
