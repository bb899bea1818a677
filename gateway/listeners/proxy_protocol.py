"""The PROXY protocol, versions 1 and 2: a proxy before us says, before anything else, who the client is.

Owns the header's bytes, as HAProxy's proxy-protocol.txt has them. Does not decide who may send one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from gateway.listeners.peeking import Incomplete

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""What version 2 begins with."""
MAX_V1_BYTES = 107
MAX_V2_BYTES = 16 + 4096
"""Addresses take 216 at most; the rest is what proxies add."""

_V1 = re.compile(rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) (\S+) (\S+) (\d{1,5}) (\d{1,5}))\r\n").fullmatch
_LOCAL, _PROXY = 0, 1
_IPV4, _IPV6 = 1, 2
_ADDRESS_BYTES = {0: 0, _IPV4: 12, _IPV6: 36, 3: 216}
"""By family, 0 being none and 3 a Unix socket; what proxies add comes behind."""
_TLS_FACTS, _CLIENT_USED_TLS = 0x20, 0x01


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says."""

    size: int
    """Its length in bytes; what follows is the client's."""
    client: str = ""
    """The client's address; empty if the header speaks of nobody: a health check of the proxy's own."""
    client_port: int = 0
    is_encrypted: bool = False
    """Whether the client has spoken TLS with the proxy."""


def read_proxy_header(data: bytes) -> ProxyHeader:
    """The header that a connection begins with.

    Raises Incomplete as long as it is not whole, ValueError if it is none.
    """
    if data.startswith(SIGNATURE):
        return _read_v2(data)
    if SIGNATURE.startswith(data[: len(SIGNATURE)]):
        raise Incomplete(len(data) + 1)
    return _read_v1(data)


def _read_v1(data: bytes) -> ProxyHeader:
    line, found, _ = data[:MAX_V1_BYTES].partition(b"\r\n")
    if not found:
        if not (b"PROXY ".startswith(line[:6]) and len(line) < MAX_V1_BYTES):
            raise ValueError("no PROXY header")
        raise Incomplete(len(data) + 1)
    match = _V1(line + b"\r\n")
    if match is None:
        raise ValueError("no PROXY header of version 1")
    size = len(line) + 2
    if match[1] is None:
        return ProxyHeader(size)
    client, port = match[2].decode("latin-1"), int(match[4])
    address = ipaddress.ip_address(client)  # a ValueError, too
    if address.version != int(match[1][3:]) or port > 65535 or "%" in client:  # a zone may hold anything
        raise ValueError("an address in the PROXY header is none of its kind")
    return ProxyHeader(size, _text(address), port)


def _read_v2(data: bytes) -> ProxyHeader:
    if len(data) < 16:
        raise Incomplete(16)
    version, command = data[12] >> 4, data[12] & 0x0F
    family, size = data[13] >> 4, 16 + int.from_bytes(data[14:16], "big")
    if version != 2 or command not in (_LOCAL, _PROXY) or size > MAX_V2_BYTES:
        raise ValueError("no PROXY header of version 2")
    if len(data) < size:
        raise Incomplete(size)
    if command == _LOCAL:
        return ProxyHeader(size)
    width = _ADDRESS_BYTES.get(family)
    if width is None:
        return ProxyHeader(size)  # nobody knows where its addresses end
    addresses, added = data[16 : 16 + width], data[16 + width : size]
    if 16 + width > size:
        raise ValueError("the addresses of the PROXY header end too early")
    is_encrypted = _is_encrypted(added)
    if family not in (_IPV4, _IPV6):
        return ProxyHeader(size, is_encrypted=is_encrypted)  # an address that means nothing to us
    wide = (width - 4) // 2
    client = _text(ipaddress.ip_address(addresses[:wide]))
    return ProxyHeader(size, client, int.from_bytes(addresses[2 * wide : 2 * wide + 2], "big"), is_encrypted)


def _is_encrypted(added: bytes) -> bool:
    """What the fields behind the addresses (2.2) say of TLS."""
    is_encrypted = False
    while added:
        kind, end = added[0], 3 + int.from_bytes(added[1:3], "big")
        if len(added) < max(3, end):
            raise ValueError("a field of the PROXY header ends too early")
        if kind == _TLS_FACTS:
            is_encrypted = end > 3 and bool(added[3] & _CLIENT_USED_TLS)
        added = added[end:]
    return is_encrypted


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address; an IPv4 one is written as such, however it came (RFC 4291 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
