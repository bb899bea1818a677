"""The store `redis`: bindings in Redis (6.2 or later) or Valkey, each a string under the prefix and the hash."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway_persistence.settings import Settings

MAX_CONNECTIONS = 32
"""To the store from one worker; more questions wait, within the time limit, for one to be free."""

_BIND = """
local held = redis.call('GET', KEYS[1])
if held and ARGV[3] == '1' and held ~= ARGV[2] and held ~= ARGV[1] then
  return held
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
return ARGV[1]
"""
"""Bind KEYS[1] to ARGV[1], for ARGV[4] ms. With ARGV[3] only if it is bound to nobody or to ARGV[2]."""


class RedisStore:
    """Bindings in Redis. A question is one round trip."""

    def __init__(self, config: Settings) -> None:
        assert config.store.url is not None
        seconds = config.store.timeout
        pool = BlockingConnectionPool.from_url(
            config.store.url.get_secret_value(),
            max_connections=MAX_CONNECTIONS,
            timeout=seconds,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),  # a second try is another exchange's
            protocol=2,
        )
        self._client = Redis.from_pool(pool)
        self._bind = self._client.register_script(_BIND)
        self._prefix = config.store.prefix
        self._milliseconds = int(config.ttl * 1000)

    async def get(self, key: str) -> str:
        """See `SessionStore.get`."""
        held = await self._client.getex(self._prefix + key, px=self._milliseconds)
        return "" if held is None else _text(held)

    async def put(self, key: str, endpoint: str, replacing: str | None) -> str:
        """See `SessionStore.put`."""
        arguments: list[str | int] = [endpoint, replacing or "", int(replacing is not None), self._milliseconds]
        return _text(await self._bind(keys=[self._prefix + key], args=arguments))

    async def close(self) -> None:
        """See `SessionStore.close`."""
        await self._client.aclose()


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


__all__ = ["RedisStore"]
