"""The smooth weighted sequence: weights 5, 1, 1 give a a b a c a a, not a a a a a b c.

The rule is nginx's. In each step every endpoint is credited its weight; the one with the highest credit (the
first listed of several) is picked and debited the sum of all weights. Done to the letter, a step costs a look
at every endpoint. But endpoints of one weight are credited alike, so their order among themselves changes only
where one is picked: they stand in a heap, and a step looks at the top of each weight's heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heapreplace

from gateway import Endpoint


class SmoothSequence:
    """An endless sequence over endpoints; `credits` is what they had when another one was left, by name.

    A step costs O(different weights + log endpoints).
    """

    __slots__ = ("_groups", "_step", "_total")

    def __init__(self, shares: Iterable[tuple[Endpoint, int]], credits: Mapping[str, int]) -> None:
        shares = list(shares)
        self._total = total = sum(weight for _, weight in shares)
        self._step = 0
        by_weight: dict[int, list[tuple[int, int, Endpoint]]] = {}
        for place, (endpoint, weight) in enumerate(shares):
            # Credits stay within the sum of weights by themselves; those of a larger sum are cut to fit.
            debt = -max(-total, min(total, credits.get(endpoint.name, 0)))
            by_weight.setdefault(weight, []).append((debt, place, endpoint))
        for heap in by_weight.values():
            heapify(heap)
        self._groups = tuple(by_weight.items())

    def take(self) -> Endpoint:
        """The next endpoint."""
        # hot: l7-balancer
        self._step = step = self._step + 1
        best: list[tuple[int, int, Endpoint]] = []
        most, first = 0, -1
        for weight, heap in self._groups:
            debt, place, _ = heap[0]
            credit = step * weight - debt
            if first < 0 or credit > most or (credit == most and place < first):
                best, most, first = heap, credit, place
        debt, place, endpoint = best[0]
        heapreplace(best, (debt + self._total, place, endpoint))
        return endpoint

    def credits(self) -> dict[str, int]:
        """What each endpoint has to its credit now, by name."""
        return {
            endpoint.name: self._step * weight - debt for weight, heap in self._groups for debt, _, endpoint in heap
        }
