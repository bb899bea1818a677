"""Which network an address is in: the most specific one of several lists, found by one binary search.

Owns the search and who wins. An own table rather than a library's tree: it is 30 lines, is never changed once it is
there (a new one takes its place), and finds an address sooner.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from gateway_security.network_list import ENTRY_BITS, PREFIX_BITS, NetworkList, unhurried

NOWHERE = 0
"""The entry of an address that is in no network."""


class NetworkTable:
    """The address space in stretches, each with the entry of the most specific network that it is in.

    Of networks that are the same, the one with the greatest entry counts.
    """

    __slots__ = ("_four", "_six")

    def __init__(self, lists: Sequence[NetworkList] = ()) -> None:
        self._four = _stretches((each.four for each in lists), 4)
        self._six = _stretches((each.six for each in lists), 16)

    def find(self, packed: bytes) -> int:
        """The entry for an address of four or sixteen bytes; NOWHERE if no network has it."""
        starts, entries = self._four if len(packed) == 4 else self._six
        return entries[bisect_right(starts, packed) - 1]

    def __repr__(self) -> str:
        return f"<NetworkTable: {len(self._four[0])} stretches of IPv4, {len(self._six[0])} of IPv6>"


def _stretches(lists: Iterable[list[int]], size: int) -> tuple[list[bytes], list[int]]:
    """Where stretches start, as bytes (they compare faster than numbers), and the entry of each."""
    bits = size * 8
    starts, entries = [bytes(size)], [NOWHERE]
    around: list[tuple[int, int]] = []
    """The networks that the sweep is in, each with its end, from the outermost."""

    def begin(at: int, entry: int) -> None:
        if at >> bits:
            return  # behind the last address
        start = at.to_bytes(size)
        if starts[-1] == start:
            entries[-1] = entry
        else:
            starts.append(start)
            entries.append(entry)

    def leave(at: int) -> None:
        while around and around[-1][0] <= at:
            end, _ = around.pop()
            begin(end, around[-1][1] if around else NOWHERE)

    for number in unhurried(heapq.merge(*lists)):
        entry = number & (1 << ENTRY_BITS) - 1
        network = number >> ENTRY_BITS
        first, prefix = network >> PREFIX_BITS, network & (1 << PREFIX_BITS) - 1
        leave(first)
        begin(first, entry)
        around.append((first + (1 << bits - prefix), entry))
    leave(1 << bits)
    return starts, entries
