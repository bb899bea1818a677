"""Rate limits that several gateways share: Redis (6.2 or later) or Valkey counts, by its own clock.

Owns the question, which is one round trip whatever the number of limits, and what stands before a store that can be
away: a time limit, a pause after a failure, a word to the operator. Does not know what becomes of a request then.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway import Metrics
from gateway_security.rate_settings import OneLimit, RateStore

log = logging.getLogger("gateway.security")

MAX_CONNECTIONS = 32
"""To the store from one worker; more questions wait, within the time limit, for one to be free."""

_TAKE = """
-- ARGV, for each key: interval, tolerance, patience (µs). What each says, in ns; nothing is charged if one refuses.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local debts, overs, passes = {}, {}, true
for number, key in ipairs(KEYS) do
  local paid_at = tonumber(redis.call('GET', key) or 0) or 0
  debts[number] = math.max(paid_at - now, 0)
  local over = debts[number] - ARGV[number * 3 - 1]
  passes = passes and over <= tonumber(ARGV[number * 3])
  overs[number] = string.format('%.0f', over * 1000)
end
if passes then
  for number, key in ipairs(KEYS) do
    local debt = debts[number] + ARGV[number * 3 - 2]
    redis.call('SET', key, string.format('%.1f', now + debt), 'PX', math.ceil(debt / 1000))
  end
end
return overs
"""


class StoreAway(Exception):
    """The store has not answered, or not in time, or is not asked for a while."""


class RemoteRates:
    """Limits in a store, asked about by key. A failure is told of once, and so is its end."""

    def __init__(
        self, settings: RateStore, limits: Sequence[OneLimit], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is connected yet. Raises ValueError for a URL that the client does not take."""
        self._settings = settings
        self._clock = clock
        self._client = _client(settings)
        self._take = self._client.register_script(_TAKE)
        self._prefix = settings.prefix.encode()
        self._meanings = [each.meaning.encode() for each in limits]
        self._arguments = [
            number / 1000
            for each in limits
            for number in (each.limit.interval, each.limit.tolerance, each.limit.patience)
        ]
        self._away_since: float | None = None
        self._next_try = 0.0
        self.failures = 0

    def show_in(self, metrics: Metrics) -> None:
        """Let the operator see outages that no client notices."""
        metrics.counter(
            "rate_limit_store_failures",
            "Questions that the store of rate limits has not answered in time",
            lambda: self.failures,
        )
        metrics.gauge(
            "rate_limit_store_away",
            "Workers that hold the store of rate limits for away",
            lambda: float(self._away_since is not None),
        )

    async def take(self, keys: Sequence[bytes]) -> list[int]:
        """What each limit says (`Limit.over`), the request being charged if it may pass by all. Raises
        StoreAway."""
        if self._away_since is not None:
            if self._clock() < self._next_try:
                raise StoreAway
            self._next_try = self._clock() + self._settings.pause  # this question is the trial; others wait for it
        try:
            async with asyncio.timeout(self._settings.timeout):
                said = await self._take(keys=self._hashed(keys), args=self._arguments)
        except Exception as error:  # each client has errors of its own, and none may reach an exchange
            self._fail(error)
            with contextlib.suppress(Exception):
                # What a failure has left the connections in is not worth finding out.
                await self._client.connection_pool.disconnect()
            raise StoreAway from error
        if self._away_since is not None:
            log.warning("rate-limit: the store is back after %.1f s", self._clock() - self._away_since)
            self._away_since = None
        return [int(over) for over in said]

    def _hashed(self, keys: Sequence[bytes]) -> list[bytes]:
        """The same in all gateways; what clients are called does not stand in the store."""
        return [
            self._prefix + hashlib.blake2b(meaning + b"\0" + key, digest_size=16).hexdigest().encode()
            for meaning, key in zip(self._meanings, keys, strict=True)
        ]

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        self._next_try = self._clock() + self._settings.pause
        if self._away_since is None:
            self._away_since = self._clock()
            said = str(error) or f"no answer within {self._settings.timeout:g} s"
            then = {
                "local": "this gateway counts by itself",
                "open": "no limit holds",
                "closed": "requests are refused",
            }
            log.warning(
                "rate-limit: the store is away (%s: %s): until it is back, %s",
                type(error).__name__, said, then[self._settings.away],
            )  # fmt: skip

    async def close(self) -> None:
        """Give up the connections."""
        await self._client.aclose()

    def __repr__(self) -> str:
        return f"<RemoteRates: {'away' if self._away_since is not None else 'at hand'}, {self.failures} failures>"


def remote_opener(settings: RateStore, limits: Sequence[OneLimit]) -> Callable[[], RemoteRates] | None:
    """What makes the store with connections of its own; None if there is no need. Raises ValueError if the client
    is not installed, or does not take the URL."""
    if settings.use == "memory":
        return None
    try:
        importlib.import_module("redis")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the store 'redis' needs the package {error.name!r}: pip install 'gateway-security[redis]'"
        ) from error
    RemoteRates(settings, limits)  # has no connection yet: only what the client thinks of the URL is of interest
    return lambda: RemoteRates(settings, limits)


def _client(settings: RateStore) -> Any:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    assert settings.url is not None
    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=MAX_CONNECTIONS,
        timeout=settings.timeout,
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.timeout,
        retry=Retry(NoBackoff(), 0),  # a question that was asked twice would be charged twice
        protocol=2,
    )
    return Redis.from_pool(pool)


__all__ = ["RemoteRates", "StoreAway", "remote_opener"]
