"""rate_store: limits that several gateways share in a real Redis, and what holds while it is away."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest
from gateway_security import RateLimit, rate_limit, shared_file
from gateway_security.refused_error import Refused

from gateway import ConfigurationError, Exchange, Metrics, Request
from gateway.registry import configured
from gateway.testing import StoreServer


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = StoreServer("redis", tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


class Shared:
    """Several gateways without sockets before one store."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._app = SimpleNamespace(metrics=Metrics())
        self.plugins: list[RateLimit] = []

    def gateway(self, store: dict[str, object] | None = None, **settings: object) -> RateLimit:
        given = {"use": "redis", "url": self._url, "timeout": "5s", **(store or {})}
        plugin = RateLimit(RateLimit.Config.model_validate({"store": given, **settings}))
        plugin.startup(self._app)
        self.plugins.append(plugin)
        return plugin

    async def passes(self, plugin: RateLimit, client: str = "192.0.2.7") -> bool:
        waiting = plugin.on_request(Exchange(None, Request("GET", "/", {"host": "a"}, client=client)))
        try:
            await waiting
        except Refused as error:
            self.error = error
            return False
        return True

    async def count(self, plugin: RateLimit, tries: int = 20) -> int:
        return sum([await self.passes(plugin) for _ in range(tries)])


@pytest.fixture
async def shared(redis, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_file, "_PLACES", (tmp_path,))
    redis.ask("FLUSHALL")
    gateways = Shared(redis.url)
    yield gateways
    for plugin in gateways.plugins:
        await plugin.shutdown(None)


async def test_gateways_let_exactly_as_many_through_as_one_would(shared):
    one, other = (shared.gateway(rate="100/h") for _ in range(2))
    passed = await asyncio.gather(*(shared.passes(plugin) for _ in range(80) for plugin in (one, other)))
    assert passed.count(True) == 100
    assert shared.error.status == 429
    assert await shared.passes(other, client="192.0.2.8")


async def test_a_question_is_one_round_trip_whatever_the_number_of_limits(shared, redis):
    plugin = shared.gateway(rate="5/h", limits=[{"rate": "7/h", "key": "host"}, {"rate": "9/h", "key": "path"}])
    await shared.passes(plugin)
    before = redis.asked("evalsha")
    assert await shared.count(plugin, 6) == 4
    assert redis.asked("evalsha") == before + 6
    # What was refused is charged to none: three are left of the seven.
    assert sum([await shared.passes(plugin, client="192.0.2.8") for _ in range(6)]) == 2


async def test_what_is_paid_off_is_forgotten_and_clients_are_not_named(shared, redis):
    await shared.passes(shared.gateway(rate="1/h"))
    key = redis.ask("KEYS", "*").split(b"\r\n")[2]
    assert key.startswith(b"gateway:rate:")
    assert b"192" not in key
    assert 3_599_000 < int(redis.ask("PTTL", key.decode())[1:]) <= 3_600_001


async def test_the_delay_is_reckoned_by_the_stores_clock(shared, monkeypatch):
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(rate_limit.asyncio, "sleep", sleep)
    plugin = shared.gateway(rate="100/h", burst=1, delay="1m")
    assert [await shared.passes(plugin) for _ in range(3)] == [True, True, False]
    assert len(slept) == 1
    assert 20 < slept[0] <= 36


async def test_other_limits_do_not_count_together(shared):
    assert await shared.count(shared.gateway(rate="5/h")) == 5
    assert await shared.count(shared.gateway(rate="6/h")) == 6
    assert await shared.count(shared.gateway(rate="5/h", key="host")) == 5


@pytest.mark.parametrize(("away", "passing"), [("local", 5), ("open", 20), ("closed", 0)])
async def test_while_the_store_is_away_the_settings_say_what_holds(shared, redis, caplog, away, passing):
    plugin = shared.gateway({"away": away, "timeout": "200ms", "pause": "1ms"}, rate="5/h")
    assert await shared.count(plugin, 2) == 2
    redis.kill()
    try:
        assert await shared.count(plugin) == passing
    finally:
        redis.start()
    if passing < 20:
        assert shared.error.status == (503 if away == "closed" else 429)
    assert plugin.unlimited == (20 if away == "open" else 0)
    away_lines = [line for line in caplog.text.splitlines() if "the store is away (Conn" in line]
    assert len(away_lines) == 1
    await asyncio.sleep(0.002)
    assert await shared.count(plugin) == 5
    assert caplog.text.count("the store is back") == 1


async def test_a_store_that_does_not_answer_in_time_is_left_alone_for_a_while(shared, redis):
    plugin = shared.gateway({"timeout": "50ms", "pause": "1m"}, rate="5/h")
    redis.freeze()
    try:
        assert await shared.count(plugin) == 5
    finally:
        redis.thaw()
    assert plugin._remote.failures == 1


async def test_an_answer_that_comes_too_late_is_not_taken_for_another(shared, redis):
    plugin = shared.gateway({"timeout": "200ms", "pause": "1ms", "away": "open"}, rate="5/h")
    redis.freeze()
    try:
        await asyncio.gather(*(shared.passes(plugin, client=f"192.0.2.{number}") for number in range(20)))
    finally:
        redis.thaw()
    await asyncio.sleep(0.002)
    # Redis may still have counted those questions, one for each client: never more, and nobody else's.
    assert await shared.count(plugin) in (4, 5)
    assert await shared.passes(plugin, client="2001:db8::1")


def test_without_its_client_the_store_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    settings = {"rate": "1/s", "store": {"use": "redis", "url": "redis://127.0.0.1"}}
    with pytest.raises(ConfigurationError, match=r"pip install 'gateway-security\[redis\]'"):
        configured(RateLimit, settings, "site.toml: plugins.rate-limit")


def test_a_url_that_the_client_does_not_take_is_refused_at_load():
    settings = {"rate": "1/s", "store": {"use": "redis", "url": "redis://127.0.0.1:6379/0?db=x"}}
    with pytest.raises(ConfigurationError, match="cannot be made"):
        configured(RateLimit, settings, "site.toml: plugins.rate-limit")
