"""What the settings of the store in Redis must be, and what is said if they are not, or its client is missing."""

from __future__ import annotations

import sys

import pytest
from gateway_cache import Cache
from gateway_cache.stores.redis import RedisStore
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"redis": "redis://127.0.0.1", "disk": "/var/cache/x"}, "disk and redis: only one"),
        ({"redis": "memcached://127.0.0.1"}, 'expected a URL such as "redis://127.0.0.1:6379"'),
        ({"redis": "redis://"}, "expected a URL such as"),
        ({"redis": "unix://"}, "expected a URL such as"),
        ({"redis": "redis://127.0.0.1:x"}, "expected a URL such as"),
        ({"redis": "redis://127.0.0.1", "redis_timeout": 0}, "greater than 0"),
        ({"redis_prefix": "a b"}, "64 visible ASCII characters"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Cache.Config(**settings)


def test_the_url_is_not_shown_since_a_password_may_stand_in_it():
    config = Cache.Config(redis="redis://:hush-hush@127.0.0.1")
    shown = repr(config) + config.model_dump_json() + repr(RedisStore(config, print))
    assert "hush" not in shown
    assert "redis at 127.0.0.1:6379" in shown


def test_the_missing_client_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    for name in ("redis", "redis_database"):
        monkeypatch.delitem(sys.modules, f"gateway_cache.stores.{name}", raising=False)
    with pytest.raises(ValueError, match=r"pip install 'gateway-cache\[redis\]'"):
        Cache(Cache.Config(redis="redis://127.0.0.1"))
