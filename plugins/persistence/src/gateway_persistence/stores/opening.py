"""From settings to the store that is asked over the network, and to a word about the package that it needs."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from gateway_persistence.settings import Settings
from gateway_persistence.stores import SessionStore

_PLACES = {"redis": "RedisStore", "memcached": "MemcachedStore"}


def store_opener(config: Settings) -> Callable[[], SessionStore]:
    """What makes a store with connections of its own. Raises ValueError if its client is not installed, or
    cannot be made with these settings."""
    use = config.store.use
    try:
        module = importlib.import_module(f"gateway_persistence.stores.{use}")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the store {use!r} needs the package {error.name!r}: pip install 'gateway-persistence[{use}]'"
        ) from error
    made: Callable[[Settings], SessionStore] = getattr(module, _PLACES[use])
    made(config)  # has no connection yet: only what the client thinks of the URL is of interest
    return lambda: made(config)


__all__ = ["store_opener"]
