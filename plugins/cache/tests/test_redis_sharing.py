"""Gateways that share a Redis: what one of them has stored, what one of them purges, and an outage in between."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.testing import Held, Load, reply, run_command, site_text, wait_until

FRESH = b"Cache-Control: max-age=600"
TAGGED = b"Surrogate-Key: a b"


@pytest.fixture
def server(redis_server):
    return redis_server()


@pytest.fixture
def app(origin):
    return origin(reply(b"one", FRESH, TAGGED))


@pytest.fixture
def caching(gateway, server, app):
    """`caching(workers=2)`: a gateway before the origin, with the Redis."""

    def start(workers: int = 1, **settings):
        # A Redis that is only slow, since the machine is, is not to count as one that is away.
        cache = {"use": "cache", "redis": server.url, "redis_timeout": "10s", "purge_secret": "s3cret", **settings}
        return gateway(endpoints=[app], workers=workers, plugins=[cache])

    return start


def told(site, target: str = "/", *fields: bytes) -> bytes:
    return site.get(target, *fields).header("cache-status")


def is_stored(site, target: str = "/") -> bool:
    return site.get(target, b"Cache-Control: only-if-cached").status == 200


def stored(site, other, *targets: str) -> None:
    """Until what one has fetched is there for the other."""
    for target in targets:
        site.get(target)
        wait_until(lambda target=target: is_stored(other, target))


def test_a_restart_and_another_gateway_find_the_store_warm(caching, app, server):
    site = caching(workers=2)
    site.get("/")
    wait_until(lambda: b"url:" in server.ask("KEYS", "*"))
    other = caching()
    assert told(other).startswith(b"gateway; hit; ttl=5")
    assert site.restart().returncode == 0
    assert all(b"; hit" in told(site) for _ in range(8))
    assert len(app.requests) == 1


@pytest.mark.parametrize("words", [["http://example.com/x"], ["--tag", "b"]])
def test_what_one_gateway_purges_the_others_forget(caching, app, server, words):
    one, other = caching(workers=2), caching()
    stored(one, other, "/x")
    assert one.command("purge", *words).returncode == 0
    wait_until(lambda: not is_stored(other, "/x"))
    assert not is_stored(one, "/x")
    assert server.ask("XLEN", "gateway:cache:purges") == b":1\r\n"
    app.answer(reply(b"two", FRESH, b"Age: 100"))
    stored(other, one, "/x")
    assert one.get("/x").body == other.get("/x").body == b"two"


def test_a_request_and_a_write_purge_in_all_gateways(caching):
    one, other = caching(), caching()
    stored(one, other, "/x", "/y")
    purge = b"PURGE /x HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer s3cret\r\n\r\n"
    assert one.request(purge).status == 200
    one.request(b"POST /y HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n")
    wait_until(lambda: not is_stored(other, "/x") and not is_stored(other, "/y"))
    assert not is_stored(one, "/x")
    assert not is_stored(one, "/y")


def test_a_hundred_requests_for_something_cold_ask_the_origin_once(caching, app, server):
    site, held = caching(), Held(reply(b"one", FRESH))
    app.answer(held)
    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(site.get, "/cold") for _ in range(100)]
        wait_until(lambda: in_flight(site) == 100, within=10)
        held.released.set()
        answers = [each.result() for each in asked]
    assert len(app.requests) == 1
    assert {answer.body for answer in answers} == {b"one"}
    counted = Counter(b"collapsed" in answer.header("cache-status") for answer in answers)
    assert counted == {True: 99, False: 1}


def in_flight(site) -> int:
    shown = site.command("metrics").stdout.splitlines()
    return int(float(next(line for line in shown if line.startswith("gateway_exchanges_in_flight")).split()[-1]))


def test_no_request_fails_while_redis_is_killed_and_revived(caching, app, server):
    site = caching(workers=2, memory="1MiB")
    with Load(site.address, connections=10) as load, Load(
        site.address, connections=10, request=b"GET /x HTTP/1.1\r\nHost: a\r\nCache-Control: max-age=0\r\n\r\n"
    ) as asking:  # fmt: skip
        load.wait_for(200)
        for outage in (1, 2):
            server.kill()
            wait_until(lambda outage=outage: said(site, "is away") == [outage, outage], within=10)
            load.wait_for(300)
            asking.wait_for(100)
            server.start()
            wait_until(lambda outage=outage: said(site, "is back after") == [outage, outage], within=10)
            load.wait_for(300)
            asking.wait_for(100)
    assert not load.lost, load
    assert not asking.lost, asking
    assert " ERROR " not in site.log
    assert said(site, "is away") == [2, 2]
    shown = site.command("metrics").stdout
    assert 'gateway_cache_store_away{store="redis"} 0\n' in shown
    assert 'gateway_cache_store_failures_total{store="redis"} ' in shown


def said(site, what: str) -> list[int]:
    """How often each worker has said it."""
    return list(Counter(line.split()[3] for line in site.log.splitlines() if what in line).values())


def test_a_gateway_starts_and_serves_without_its_redis(caching, app, server):
    server.kill()
    site = caching()
    assert site.get("/").body == b"one"
    wait_until(lambda: b"; hit" in told(site))
    assert site.log.count("is away") == 1


def test_disk_and_redis_together_refuse_the_start(origin, tmp_path):
    plugins = [{"use": "cache", "disk": "store", "redis": "redis://127.0.0.1"}]
    (tmp_path / "site.toml").write_text(site_text([origin()], plugins=plugins))
    done = run_command("run", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert "disk and redis: only one of them can stand beside the memory" in done.stderr
