"""The plugin as configurations name it: what all methods share, and which class carries the chosen one.

Owns when an endpoint may serve a session that is bound to it, and when a session moves. Does not know how a
session is recognised (each method does).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gateway import Endpoint, EndpointState, Exchange, hookimpl
from gateway_persistence.settings import Settings

_UP = EndpointState.UP


class Persistence:
    """Keep the exchanges of a session at one endpoint for as long as it can serve them.

    An endpoint that is up or draining, whatever its weight, keeps its sessions. One that is down, in maintenance or
    gone, or has failed in this very exchange, loses the session to the endpoint that the balancer picks, and does
    not get it back. What is forged, too old or malformed is ignored.

    Making one gives an instance of the class that carries the chosen method. Each of them has just the hooks that
    it needs: an asynchronous one makes every exchange of its route slower.
    """

    api = 1
    Config = Settings

    _kinds: ClassVar[dict[str, type[Persistence]]] = {}

    def __init_subclass__(cls, kinds: Sequence[str] = (), **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._kinds.update(dict.fromkeys(kinds, cls))

    def __new__(cls, config: Settings, *others: Any) -> Persistence:
        return super().__new__(cls._kinds[config.kind] if cls is Persistence else cls)

    @hookimpl
    def on_select(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """The endpoint that the session is bound to, if it can serve."""
        # hot: l7-balancer
        endpoint = self.bound(exchange)
        if endpoint is not None:
            if endpoint.state is _UP and not exchange.attempts:
                return endpoint
            if can_serve(endpoint, exchange, endpoints):
                return endpoint
        return self.instead(exchange, endpoints)

    def bound(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint that the exchange's session is bound to, in whatever state it is."""
        raise NotImplementedError

    def instead(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """Who serves if no bound endpoint can; None leaves it to the balancer."""
        return None


def can_serve(endpoint: Endpoint, exchange: Exchange, endpoints: Sequence[Endpoint]) -> bool:
    """Whether a session's exchange may go to its endpoint.

    One that is down is among the candidates in a panic alone, when its state is not to be believed.
    """
    # hot: l7-balancer
    if not endpoint.keeps_sessions and endpoint not in endpoints:
        return False
    return not exchange.attempts or all(attempt.endpoint is not endpoint for attempt in exchange.attempts)


def served_by(exchange: Exchange) -> Endpoint | None:
    """Who answered; None if nobody did (a plugin's response, or an error page)."""
    # hot: l7-balancer
    if not exchange.attempts:
        return None
    last = exchange.attempts[-1]
    return last.endpoint if last.status and last.error is None else None


def is_moved(exchange: Exchange, bound: Endpoint | None, served: Endpoint) -> bool:
    """Whether a session that was bound (or not yet) belongs to the one who served from now on.

    It does not if its own endpoint was asked and has not failed, but was overtaken by another (`hedge_after`).
    """
    if bound is served:
        return False
    return not any(attempt.endpoint is bound and attempt.error is None for attempt in exchange.attempts)


__all__ = ["Persistence", "can_serve", "is_moved", "served_by"]
