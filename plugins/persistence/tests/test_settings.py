"""Settings: which class carries a method, which hooks that has, and what is refused with which words."""

from __future__ import annotations

import inspect
import sys

import pytest
from gateway_persistence import (
    CookieSessions,
    NoSessions,
    Persistence,
    PrefixSessions,
    RememberedSessions,
    RemoteSessions,
)
from pydantic import ValidationError

from gateway.pipeline import Pipeline
from gateway.registry import check_plugin

REDIS = {"use": "redis", "url": "redis://127.0.0.1:6379"}
MEMCACHED = {"use": "memcached", "url": "memcached://127.0.0.1"}


@pytest.mark.parametrize(
    ("settings", "carrier", "hooks"),
    [
        ({"method": "none"}, NoSessions, set()),
        ({}, CookieSessions, {"startup", "shutdown", "on_request", "on_select", "on_response"}),
        (
            {"method": "prefix", "name": "sid"},
            PrefixSessions,
            {"startup", "shutdown", "on_request", "on_select", "on_response"},
        ),
        ({"method": "source"}, RememberedSessions, {"startup", "shutdown", "on_select", "on_response"}),
        (
            {"method": "learned", "name": "sid"},
            RememberedSessions,
            {"startup", "shutdown", "on_select", "on_response"},
        ),
        (
            {"method": "header", "name": "X-Session", "store": REDIS},
            RemoteSessions,
            {"startup", "shutdown", "on_request", "on_select", "on_upstream_response"},
        ),
        (
            {"method": "source", "store": MEMCACHED},
            RemoteSessions,
            {"startup", "shutdown", "on_request", "on_select", "on_upstream_response"},
        ),
    ],
)
def test_a_method_has_the_hooks_that_it_needs_and_waits_for_nothing_but_a_remote_store(settings, carrier, hooks):
    plugin = Persistence(Persistence.Config(**settings))
    if hooks:  # the one without them is never loaded under its own name
        check_plugin(carrier, "a test")
    assert type(plugin) is carrier
    pipeline = Pipeline([("persistence", plugin)])
    assert {name for name, steps in pipeline.steps.items() if steps} == hooks
    assert pipeline.is_synchronous is (carrier is not RemoteSessions)
    for hook in hooks:
        assert inspect.getdoc(getattr(carrier, hook)), hook


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "prefix"}, "wants the application's cookie"),
        ({"method": "learned"}, "wants the application's cookie"),
        ({"method": "header"}, "wants a request header"),
        ({"name": "a b"}, "is not a token"),
        ({"name": "a;b"}, "is not a token"),
        ({"secret": "too short"}, "at least 16 characters"),
        ({"previous_secret": "long enough to be one"}, "needs a secret beside it"),
        ({"path": "x"}, "expected a path"),
        ({"path": "/; Domain=evil"}, "expected a path"),
        ({"domain": "a;b"}, "expected a domain"),
        ({"same_site": "none", "secure": "never"}, "only with Secure"),
        ({"name": "__Host-a", "secure": "auto"}, 'only with secure = "always"'),
        ({"name": "__Host-a", "secure": "always", "domain": "a.example"}, "no domain"),
        ({"method": "source", "ttl": 0}, "at least a second"),
        ({"method": "source", "ipv4_prefix": 33}, "less than or equal to 32"),
        ({"method": "source", "store": "redis"}, 'wants one such as "redis://127.0.0.1:6379"'),
        ({"store": {"use": "redis", "url": "http://127.0.0.1"}}, "wants one such as"),
        ({"store": {"use": "memcached", "url": "memcached://"}}, "wants one such as"),
        ({"store": {"use": "memcached", "url": "memcached://a:x"}}, "wants one such as"),
        ({"store": {"prefix": "a b"}}, "visible ASCII"),
        ({"store": "disk"}, "Input should be 'memory', 'redis' or 'memcached'"),
    ],
)
def test_what_cannot_work_is_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Persistence.Config(**settings)


def test_secrets_are_not_shown():
    store = {"use": "redis", "url": "redis://:hush-hush@127.0.0.1"}
    config = Persistence.Config(secret="hush-hush hush-hush", previous_secret="hush-hush before", store=store)
    assert "hush" not in repr(config) + str(config.model_dump()) + config.model_dump_json()


def test_the_missing_client_of_a_store_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(sys.modules, "gateway_persistence.stores.redis", raising=False)
    with pytest.raises(ValueError, match=r"pip install 'gateway-persistence\[redis\]'"):
        Persistence(Persistence.Config(method="source", store=REDIS))
