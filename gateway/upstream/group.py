"""A named group of endpoints with a balancer: who is available, and whether another try is affordable.

Owns the set of candidates and the retry budget. Does not pick (balancers) and does not send (`http1`).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.config import model as config
from gateway.errors import NoEndpoint
from gateway.upstream.balancer import Balancer, First
from gateway.upstream.endpoint import Endpoint, EndpointState
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.ticker import Ticker
from gateway.upstream.tls import client_context

MIN_RETRIES = 10.0
"""Retries that an upstream without recent traffic can afford at once."""
MAX_RETRIES = 100.0


class Upstream:
    """Endpoints, their pools and the balancer, in one worker."""

    def __init__(self, name: str, settings: config.Upstream, balancer: Balancer, ticker: Ticker) -> None:
        self.name = name
        self.settings = settings
        self.balancer = balancer
        self.endpoints = tuple(Endpoint(item) for item in settings.endpoints)
        self.available: tuple[Endpoint, ...] = ()
        """The endpoints that may be picked: a new tuple whenever a state or weight changes."""
        self.on_change: Callable[[Endpoint, EndpointState, EndpointState, str], None] | None = None
        self._retries = MIN_RETRIES
        needs_tls = any(endpoint.url.scheme == "https" for endpoint in self.endpoints)
        context = client_context(settings.tls) if needs_tls else None
        for endpoint in self.endpoints:
            endpoint.pool = ConnectionPool(endpoint, settings, context, ticker)
        self.refresh()

    @classmethod
    def nowhere(cls) -> Upstream:
        """The upstream of exchanges that no route took: it has a name and no endpoint."""
        return cls("none", config.Upstream.model_construct(endpoints=()), First(), Ticker())

    def set_state(self, endpoint: Endpoint, state: EndpointState, reason: str) -> None:
        """Change an endpoint's state and tell whoever listens."""
        old = endpoint.state
        if old is state:
            return
        endpoint.state = state
        self.refresh()
        if self.on_change is not None:
            self.on_change(endpoint, old, state, reason)

    def refresh(self) -> None:
        """Rebuild the candidates after a change of state or weight."""
        self.available = tuple(
            endpoint for endpoint in self.endpoints if endpoint.is_available and endpoint.weight > 0
        )

    def earn_retry(self) -> None:
        """Count an exchange: it pays its share into the budget."""
        # hot: plain
        if self._retries < MAX_RETRIES:
            self._retries += self.settings.retries.budget

    def spend_retry(self) -> bool:
        """Take one retry from the budget, if there is one."""
        if self._retries < 1:
            return False
        self._retries -= 1
        return True

    def nobody(self) -> NoEndpoint:
        """The error that says who is not available, and why."""
        known = f"{len(self.endpoints)} known: {self._counts()}"
        return NoEndpoint(f"upstream {self.name!r}: no endpoint available ({known})")

    def _counts(self) -> str:
        states = [endpoint.state for endpoint in self.endpoints]
        return ", ".join(f"{states.count(state)} {state.value}" for state in EndpointState if state in states)

    def close(self) -> None:
        """Close what is idle, and let what is busy end."""
        for endpoint in self.endpoints:
            endpoint.pool.close()

    def __repr__(self) -> str:
        in_flight = sum(endpoint.in_flight for endpoint in self.endpoints)
        return f"<Upstream {self.name}: {self._counts()}, {in_flight} in flight>"
