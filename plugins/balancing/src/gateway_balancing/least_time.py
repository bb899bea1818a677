"""The balancer `least-time`: where a response is likely to come soonest.

Owns what is known of response times in this worker. It is learnt from attempts, whoever chose their endpoints.

The rule is that of Finagle's peak EWMA. An endpoint's time is an average in which old responses count for less, but
a slower response than that is believed at once. So an endpoint that becomes slow loses its traffic with the first
slow response, and wins it back as that is forgotten.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from math import exp
from typing import Annotated

from pydantic import Field

from gateway import Attempt, Duration, Endpoint, Exchange, PluginConfig, UpstreamError
from gateway_balancing.random_draw import draw_elsewhere
from gateway_balancing.two_choices import Pairs


class LeastTime:
    """Of two endpoints drawn by weight, the one with the lesser response time times load, for its weight.

    An endpoint of which nothing is known gets one exchange at once, and no more until that is answered. `clock` is
    in seconds and that of the attempts; `draw` gives numbers from 0 up to, not including, 1.
    """

    class Config(PluginConfig):
        """How soon response times are forgotten, and what a failure costs."""

        decay: Annotated[Duration, Field(gt=0)] = 10.0
        """After so long a response time counts for a third (1/e)."""
        penalty: Annotated[Duration, Field(gt=0)] = 1.0
        """An attempt that failed, or got a 5xx, counts as at least so long: who fails fast is not fast."""

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._decay = config.decay
        self._penalty = config.penalty
        self._clock = clock
        self._draw = draw
        self._endpoints: Sequence[Endpoint] = ()
        self._pairs = Pairs((), draw)
        self._times: dict[Endpoint, ResponseTime] = {}
        self._listed: list[ResponseTime] = []

    def choose(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint:
        """The one of two whose response is expected sooner."""
        # hot: l7-balancer
        if endpoints is not self._endpoints:
            if exchange.attempts:
                return self._choose_again(endpoints)
            self._prepare(endpoints)
        first, second = self._pairs.take()
        one, other = endpoints[first], endpoints[second]
        now, cost = self._clock(), self._cost
        return other if cost(other, self._listed[second], now) < cost(one, self._listed[first], now) else one

    def _choose_again(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        one, other = draw_elsewhere(endpoints, self._draw), draw_elsewhere(endpoints, self._draw)
        times, unknown, now = self._times, ResponseTime(), self._clock()
        cost = self._cost(one, times.get(one, unknown), now)
        return other if self._cost(other, times.get(other, unknown), now) < cost else one

    def _prepare(self, endpoints: Sequence[Endpoint]) -> None:
        self._pairs = Pairs(endpoints, self._draw)
        self._times = {endpoint: self._times.get(endpoint) or ResponseTime() for endpoint in endpoints}
        self._listed = list(self._times.values())
        self._endpoints = endpoints

    def _cost(self, endpoint: Endpoint, known: ResponseTime, now: float) -> float:
        """What one more exchange costs there: time times load, for its weight.

        Time runs in favour of an idle endpoint, which is how one that was slow is tried again. It does not in
        favour of one at work: many would come before the first answer could tell that it is still slow.
        """
        # hot: l7-balancer
        if endpoint.in_flight:
            return (known.seconds or self._penalty) * (endpoint.in_flight + 1) / endpoint.weight
        return known.seconds * exp((known.learnt_at - now) / self._decay) / endpoint.weight

    def ended(self, attempt: Attempt) -> None:
        """Learn from an attempt: the time to the head of its response, and whether it failed."""
        # hot: l7-balancer
        known = self._times.get(attempt.endpoint)
        if known is None:
            return
        seconds = (attempt.answered or attempt.ended) - attempt.started
        error, status = attempt.error, attempt.status
        if isinstance(error, UpstreamError):
            if attempt.is_reused and error.condition == "closed":
                return  # a kept connection had ended meanwhile, which says nothing of the endpoint
            seconds = max(seconds, self._penalty)
        elif error is not None or status is None:
            if seconds < known.seconds:
                return  # given up: it would have taken longer, but nobody knows how long
        elif status >= 500:
            seconds = max(seconds, self._penalty)
        if seconds < known.seconds:
            seconds += (known.seconds - seconds) * exp((known.learnt_at - attempt.ended) / self._decay)
        known.seconds, known.learnt_at = seconds, attempt.ended


class ResponseTime:
    """What is known of an endpoint: a time, and when it was learnt; 0 if nothing is."""

    __slots__ = ("learnt_at", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.learnt_at = 0.0
