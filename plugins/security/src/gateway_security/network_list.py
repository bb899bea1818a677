"""Networks as lists have them: a text, or a file with one on each line, read into numbers that sort.

Owns the notation and what is wrong with a line. What an address is found in is `network_table`.
"""

from __future__ import annotations

import heapq
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway import Network

T = TypeVar("T")

LINE_BITS = 32
ENTRY_BITS = LINE_BITS + 16
"""An entry says where a network was written: sixteen bits for the list, `mark`, and the rest for the line."""
PREFIX_BITS = 8
MAPPED = bytes(10) + b"\xff\xff"
"""What an IPv4 address begins with when it is written as an IPv6 one (RFC 4291 2.5.5.2)."""
MAPPED_BITS = 96

_AT_ONCE = 500
_PAUSE_SECONDS = 0.0002


@dataclass(frozen=True, slots=True, repr=False)
class NetworkList:
    """Networks with the place of each, as one number a network: first address, prefix, entry, from the left.

    The numbers are in order, so that a network stands before those within it.
    """

    four: list[int]
    six: list[int]

    def __repr__(self) -> str:
        return f"<NetworkList of {len(self.four) + len(self.six)}>"


def packed_address(text: str) -> bytes | None:
    """Four bytes, or sixteen; None for what is no address. An IPv4 address in IPv6 notation is the IPv4 address."""
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        packed = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(MAPPED) else packed


def networks_in(networks: Iterable[Network], mark: int) -> NetworkList:
    """A list from settings; the place of a network is its index."""
    found = NetworkList([], [])
    for index, network in enumerate(networks):
        _add(found, str(network), mark, index)
    return _in_order(found)


def read_networks(path: Path, mark: int) -> NetworkList:
    """A list from a file, where # and ; begin a comment; the place of a network is its line.

    Raises ValueError that names the line, and OSError.
    """
    found = NetworkList([], [])
    number = 0
    with path.open(encoding="utf-8-sig") as lines:
        try:
            for number, line in enumerate(unhurried(lines), 1):
                if text := line.partition("#")[0].partition(";")[0].strip():
                    _add(found, text, mark, number)
        except UnicodeDecodeError:
            raise ValueError(f"line {number + 1}: not text") from None
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return _in_order(found)


def _add(found: NetworkList, text: str, mark: int, place: int) -> None:
    address, slash, length = text.partition("/")
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        raise _no_network(text) from None
    bits = len(packed) * 8
    prefix = int(length) if length.isascii() and length.isdigit() and len(length) <= 3 else bits + bool(slash)
    if prefix > bits:
        raise _no_network(text)
    if prefix >= MAPPED_BITS and packed.startswith(MAPPED):
        packed, prefix, bits = packed[12:], prefix - MAPPED_BITS, 32
    first = int.from_bytes(packed)
    if first & ((1 << bits - prefix) - 1):
        raise ValueError(f"{text!r} has bits set behind its prefix: write the first address of the network")
    entry = mark | place & (1 << LINE_BITS) - 1
    (found.four if bits == 32 else found.six).append((first << PREFIX_BITS | prefix) << ENTRY_BITS | entry)


def _no_network(text: str) -> ValueError:
    return ValueError(f'expected a network such as "10.0.0.0/8", or an address, not {text[:80]!r}')


def _in_order(found: NetworkList) -> NetworkList:
    return NetworkList(_sorted(found.four), _sorted(found.six))


def _sorted(numbers: list[int]) -> list[int]:
    """In steps: one call that sorts a million numbers would hold up every other thread."""
    steps = unhurried(range(0, len(numbers), 4096), at_once=1)
    return list(unhurried(heapq.merge(*[sorted(numbers[step : step + 4096]) for step in steps])))


def unhurried(items: Iterable[T], at_once: int = _AT_ONCE) -> Iterator[T]:
    """The items, with pauses: a thread that computes leaves the loop its turn after 5 ms only, unless it rests."""
    for index, item in enumerate(items, 1):
        yield item
        if index % at_once == 0:
            time.sleep(_PAUSE_SECONDS)
