"""A named group of endpoints with a balancer: who is available, and whether another try is affordable.

Owns the set of endpoints, what is held of each, slow starts and the retry budget. Does not pick (balancers) and
does not send (`http1`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.config import model as config
from gateway.errors import NoEndpoint, Overloaded
from gateway.upstream.balancer import Balancer, First
from gateway.upstream.candidates import candidates
from gateway.upstream.endpoint import Endpoint, EndpointState
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.ticker import Ticker
from gateway.upstream.tls import client_context

if TYPE_CHECKING:
    from gateway.model import Attempt

MIN_RETRIES = 10.0
"""Retries that an upstream without recent traffic can afford at once."""
MAX_RETRIES = 100.0

RAMP_STEPS = 10
"""In how many steps a slow start leads to the whole weight."""


class Upstream:
    """Endpoints, their pools and the balancer, in one worker."""

    def __init__(self, name: str, settings: config.Upstream, balancer: Balancer, ticker: Ticker) -> None:
        self.name = name
        self.settings = settings
        self.balancer = balancer
        self.tell_balancer: Callable[[Attempt], None] | None = getattr(balancer, "ended", None)
        """For a balancer that learns (`LearningBalancer`): called with each attempt that has ended."""
        self.ignores_weights = bool(getattr(balancer, "ignores_weights", False))
        """Whether an endpoint's weight makes no difference, unless it is 0."""
        self.endpoints: tuple[Endpoint, ...] = ()
        self.available: tuple[Endpoint, ...] = ()
        """The endpoints that may be picked: a new tuple whenever a state or weight changes."""
        self.on_change: Callable[[Endpoint, EndpointState, EndpointState, str], None] | None = None
        self.in_flight = 0
        """Attempts under way at its endpoints, those that are gone included, as this worker sees it."""
        self.is_timed = bool(settings.timeouts.total or settings.hedge_after)
        """Whether an exchange has a clock of its own beside its endpoint's."""
        self.host_rule = settings.host
        """Which Host the endpoints see: `keep`, `endpoint`, or the one that it names."""
        self._max_in_flight = settings.max_in_flight
        self.unwanted = settings.retries.statuses
        """Statuses after which another endpoint is asked."""
        self._retries = MIN_RETRIES
        self._ticker = ticker
        self._context: ssl.SSLContext | None = None
        self._ramps: dict[Endpoint, int] = {}
        """Endpoints in their slow start, and how many of its steps they have made."""
        self.set_endpoints(settings.endpoints)

    @classmethod
    def nowhere(cls) -> Upstream:
        """The upstream of exchanges that no route took: it has a name and no endpoint."""
        return cls("none", config.Upstream.model_construct(endpoints=()), First(), Ticker())

    def set_endpoints(self, wanted: Sequence[config.EndpointSettings]) -> None:
        """Have just these endpoints from now on. One that was there before stays as it is, but for its settings."""
        known = {endpoint.name: endpoint for endpoint in self.endpoints}
        endpoints = []
        for settings in wanted:
            fresh = Endpoint(settings)
            endpoint = known.pop(fresh.name, None)
            if endpoint is None or endpoint.url != fresh.url:
                endpoint = fresh
                endpoint.pool = ConnectionPool(endpoint, self.settings, self._tls(endpoint), self._ticker)
            endpoint.base_weight = settings.weight
            endpoint.priority, endpoint.zone = settings.priority, settings.zone
            endpoints.append(endpoint)
        kept = set(endpoints)
        for gone in self.endpoints:
            if gone not in kept:
                self._ramps.pop(gone, None)
                gone.pool.close()
        self.endpoints = tuple(endpoints)
        self.refresh()

    def _tls(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        if endpoint.url.scheme == "https" and self._context is None:
            self._context = client_context(self.settings.tls)
        return self._context

    @property
    def up(self) -> int:
        """How many endpoints are up."""
        return sum(endpoint.state is EndpointState.UP for endpoint in self.endpoints)

    @property
    def waiting(self) -> int:
        """How many exchanges wait for a connection to one of the endpoints."""
        return sum(endpoint.pool.waiting for endpoint in self.endpoints)

    def find(self, name: str) -> Endpoint | None:
        """The endpoint of that name (`10.0.0.1:8000`)."""
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        return None

    def mark(self, endpoint: Endpoint, source: str, state: EndpointState, reason: str) -> None:
        """Let a source say what it holds an endpoint for, in this worker; UP takes back what it said before.

        The worst of what all sources say is the endpoint's state; a change is told to whoever listens.
        """
        old = endpoint.state
        endpoint.mark(source, state, reason)
        new = endpoint.state
        if new is old:
            return
        if new is EndpointState.UP and old is not EndpointState.DRAINING and self.settings.slow_start:
            self._ramps[endpoint] = 1
            self._climb_later(endpoint)
        elif new is not EndpointState.UP:
            self._ramps.pop(endpoint, None)
        self.refresh()
        if self.on_change is not None:
            self.on_change(endpoint, old, new, reason)

    def describe(self) -> list[dict[str, object]]:
        """Every endpoint as it stands in this worker, as plain data; without any, one whose endpoint is None."""
        place = {
            "upstream": self.name,
            "balancer": self.settings.balancer.use,
            "ignores_weights": self.ignores_weights,
        }
        return [{**place, **endpoint.describe()} for endpoint in self.endpoints] or [{**place, "endpoint": None}]

    @property
    def ignored(self) -> list[str]:
        """What is set for its endpoints and makes no difference, since the balancer takes no notice of weights."""
        if not self.ignores_weights:
            return []
        weights = {endpoint.base_weight for endpoint in self.endpoints} - {0}
        return ["weight"] * (len(weights) > 1) + ["slow_start"] * bool(self.settings.slow_start)

    def set_weight(self, endpoint: Endpoint, weight: int) -> None:
        """Change an endpoint's weight."""
        endpoint.base_weight = weight
        self.refresh()

    def refresh(self) -> None:
        """Rebuild the candidates after a change of state or weight."""
        scale = RAMP_STEPS if self._ramps else 1
        for endpoint in self.endpoints:
            endpoint.weight = endpoint.base_weight * self._ramps.get(endpoint, scale)
        self.available = candidates(self.endpoints, self.settings.prefer)

    def _climb_later(self, endpoint: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self.settings.slow_start / RAMP_STEPS, self._climb, endpoint, self._ramps[endpoint])

    def _climb(self, endpoint: Endpoint, step: int) -> None:
        """Make the next step of a slow start, unless another one has begun meanwhile."""
        if self._ramps.get(endpoint) != step:
            return
        if step + 1 < RAMP_STEPS:
            self._ramps[endpoint] = step + 1
            self._climb_later(endpoint)
        else:
            del self._ramps[endpoint]
        self.refresh()

    def admit(self) -> None:
        """Count an exchange: it pays its share into the retry budget. Raises Overloaded if it is one too many."""
        # hot: plain
        if self._retries < MAX_RETRIES:
            self._retries += self.settings.retries.budget
        if self._max_in_flight and self.in_flight >= self._max_in_flight:
            raise Overloaded(f"upstream {self.name!r}: {self.in_flight} exchanges are under way (max_in_flight)")

    def spend_retry(self) -> bool:
        """Take one retry from the budget, if there is one."""
        if self._retries < 1:
            return False
        self._retries -= 1
        return True

    def nobody(self) -> NoEndpoint:
        """The error that says who is not available, and why."""
        known = f"{len(self.endpoints)} known: {self._counts()}" if self.endpoints else "none known"
        return NoEndpoint(f"upstream {self.name!r}: no endpoint available ({known})")

    def _counts(self) -> str:
        states = [endpoint.state for endpoint in self.endpoints]
        return ", ".join(f"{states.count(state)} {state.value}" for state in EndpointState if state in states)

    def close(self) -> None:
        """Close what is idle, and let what is busy end."""
        for endpoint in self.endpoints:
            endpoint.pool.close()

    def __repr__(self) -> str:
        return f"<Upstream {self.name}: {self._counts()}, {self.in_flight} in flight>"
