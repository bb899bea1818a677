"""Addresses and networks of lists: read as `ipaddress` reads them, or refused with a ValueError of one line."""

from __future__ import annotations

import ipaddress

from fuzz_input import lines
from gateway_security.network_list import NetworkList, _add, packed_address

MAPPED = ipaddress.ip_network("::ffff:0:0/96")


def packed(text: str) -> bytes | None:
    """What an address comes to."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (getattr(address, "ipv4_mapped", None) or address).packed


def check(data: bytes) -> None:
    for line in lines(data, 2):
        text = line.decode("utf-8", "surrogateescape")
        if "%" not in text:
            assert packed_address(text) == packed(text)
        found = NetworkList([], [])
        try:
            _add(found, text, 0, 1)
        except ValueError as error:
            assert len(str(error).splitlines()) == 1
            continue
        network = ipaddress.ip_network(text)
        is_four = network.version == 4 or network.subnet_of(MAPPED)
        (number,) = found.four if is_four else found.six
        assert (number >> 48) & 0xFF == network.prefixlen - (96 if is_four and network.version == 6 else 0)
        assert (number >> 56) == int(network.network_address) & ((1 << (32 if is_four else 128)) - 1)
