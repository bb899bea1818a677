"""How much of the traffic each endpoint shall have, in numbers that change only when its part does.

Pure functions over weights. Tables of hashes stand on them: a share that changed without need would move keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gateway import Endpoint

Shares: TypeAlias = list[tuple[Endpoint, float]]
"""Each endpoint with its weight, where 1 is that of an average endpoint of the upstream; in the order of names."""


def shares_of(endpoints: Sequence[Endpoint], known: Sequence[Endpoint]) -> Shares:
    """The shares of those that may be picked; `known` are all endpoints of the upstream, whatever their state.

    While any endpoint of an upstream starts slowly, the weights of all are counted in steps of it. And the
    average is that of all known, so that one that goes down does not change the shares of the others.
    """
    steps = max(endpoint.weight // max(1, endpoint.base_weight) for endpoint in endpoints) or 1
    average = sum(endpoint.base_weight for endpoint in known) / len(known) or 1
    ordered = sorted(endpoints, key=_name)
    return [(endpoint, max(1, endpoint.weight) / steps / average) for endpoint in ordered]


def _name(endpoint: Endpoint) -> str:
    return endpoint.name
