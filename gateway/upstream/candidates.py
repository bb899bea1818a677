"""Which endpoints may be picked: by state, by priority, by zone, and in a panic.

Pure functions over endpoints. Does not change a state and does not pick.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from gateway.upstream.endpoint import EndpointState

if TYPE_CHECKING:
    from gateway.config.model import Preferences
    from gateway.upstream.endpoint import Endpoint

_ASKED_IN_PANIC = (EndpointState.UP, EndpointState.DOWN)


def candidates(endpoints: Sequence[Endpoint], prefer: Preferences) -> tuple[Endpoint, ...]:
    """Those that new exchanges may go to, in the listed order.

    The lowest priority number is taken, and with it the next ones until one of them, looked at by itself, has
    `prefer.enough` of its endpoints up. Within those, endpoints of `prefer.zone` are kept if enough of them are up.
    """
    weighty = [endpoint for endpoint in endpoints if endpoint.weight > 0]
    taken = _asked_priorities(weighty, prefer)
    if _share_up(weighty) < prefer.panic:
        return tuple(endpoint for endpoint in weighty if endpoint.state in _ASKED_IN_PANIC)
    near = [endpoint for endpoint in taken if endpoint.zone == prefer.zone]
    if prefer.zone and near and _share_up(near) >= prefer.enough and _share_up(near) > 0:
        taken = near
    chosen = set(taken)
    return tuple(endpoint for endpoint in weighty if endpoint in chosen and endpoint.is_available)


def reasons(endpoints: Sequence[Endpoint], prefer: Preferences) -> dict[Endpoint, str]:
    """Why those that may not be picked may not."""
    chosen = set(candidates(endpoints, prefer))
    return {endpoint: _reason(endpoint, endpoints, prefer) for endpoint in endpoints if endpoint not in chosen}


def _reason(endpoint: Endpoint, endpoints: Sequence[Endpoint], prefer: Preferences) -> str:
    if not endpoint.is_available:
        held = "; ".join(f"{source}: {why}" for source, (_, why) in endpoint.marks.items())
        return f"{endpoint.state.value} ({held})"
    if endpoint.weight <= 0:
        return "weight 0"
    asked = _asked_priorities([other for other in endpoints if other.weight > 0], prefer)
    if endpoint not in asked:
        return f"a backup: enough endpoints of priority {asked[-1].priority} are up"
    return f"not in zone {prefer.zone!r}, of which enough endpoints are up"


def _asked_priorities(endpoints: Sequence[Endpoint], prefer: Preferences) -> list[Endpoint]:
    """Every endpoint of the priorities that are asked, whatever its state, the lowest number first."""
    asked: list[Endpoint] = []
    for _, group in groupby(sorted(endpoints, key=_priority), key=_priority):
        alike = list(group)
        asked += alike
        if _share_up(alike) >= prefer.enough and any(endpoint.is_available for endpoint in alike):
            break
    return asked


def _priority(endpoint: Endpoint) -> int:
    return endpoint.priority


def _share_up(endpoints: Sequence[Endpoint]) -> float:
    return sum(endpoint.is_available for endpoint in endpoints) / len(endpoints) if endpoints else 0.0
