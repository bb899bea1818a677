"""A store that is killed, frozen or absent costs sessions at most, and never a request."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.testing import Load, wait_until

STORES = pytest.mark.parametrize("use", ["redis", "memcached"])
SOURCES = tuple(f"127.0.0.{number}" for number in range(2, 22))


def store_at(server, **options):
    # A store that is only slow, since the machine is, is not to count as one that is away.
    settings = {"pause": "200ms", "cache": "50ms", "timeout": "10s", **options}
    return {"use": server.url.partition(":")[0], "url": server.url, **settings}


def both_say(site, clients, what, times=1) -> None:
    """Ask both workers until each has said it so often."""

    def have_said() -> bool:
        clients.ask_both("X-Session: a")
        said = Counter(line.split()[3] for line in site.log.splitlines() if what in line)  # by process id
        return len(said) == 2 and min(said.values()) >= times

    wait_until(have_said, within=10)


@STORES
def test_no_request_fails_while_the_store_is_killed_and_revived(persistent, crowd, server, use):
    running = server(use)
    site = persistent(method="source", store=store_at(running))
    clients = crowd(site)
    (mine,) = clients.ask_both()
    with Load(site.address, connections=20, sources=SOURCES) as load:
        load.wait_for(500)
        for outage in (1, 2):
            running.kill()
            both_say(site, clients, "is away", outage)
            load.wait_for(500)
            assert clients.ask_both() == {mine}
            running.start()
            both_say(site, clients, "is back after", outage)
            load.wait_for(500)
            assert clients.ask_both() == {mine}  # it came back empty, and was told again
    assert not load.lost, load
    assert " ERROR " not in site.log
    assert load.repeated == 0
    assert site.log.count("is away") == 4


@STORES
def test_a_store_that_does_not_answer_holds_nobody_up_for_long(persistent, crowd, server, use):
    running = server(use)
    site = persistent(method="source", store=store_at(running, timeout="100ms"))
    clients = crowd(site)
    (mine,) = clients.ask_both()
    with Load(site.address, connections=20, sources=SOURCES, timeout=5.0) as load:
        load.wait_for(200)
        running.freeze()
        both_say(site, clients, "is away")
        load.wait_for(500)
        assert clients.ask_both() == {mine}
        running.thaw()
        both_say(site, clients, "is back after")
        load.wait_for(200)
        assert clients.ask_both() == {mine}
    assert not load.lost, load
    assert " ERROR " not in site.log


@STORES
def test_a_store_that_comes_later_than_the_gateway_is_used_from_then_on(persistent, crowd, server, use):
    running = server(use)
    running.kill()
    site = persistent(method="header", name="x-session", store=store_at(running))
    clients = crowd(site, "X-Session: a")
    both_say(site, clients, "is away")
    shown = site.command("metrics").stdout
    assert f'gateway_persistence_store_away{{store="{use}"}} 2\n' in shown
    assert f'gateway_persistence_store_failures_total{{store="{use}"}} ' in shown
    running.start()
    both_say(site, clients, "is back after")
    assert f'gateway_persistence_store_away{{store="{use}"}} 0\n' in site.command("metrics").stdout
    (first,) = clients.ask("X-Session: me")
    assert {answer.body for answer in clients.ask("X-Session: me", count=30)} == {first.body}


@STORES
def test_two_gateways_share_the_sessions_of_a_store(persistent, crowd, server, use):
    running = server(use)
    sites = [persistent(method="header", name="x-session", store=store_at(running)) for _ in range(2)]
    one, other = (crowd(site) for site in sites)
    for number in range(12):
        (first,) = one.ask(f"X-Session: {number}")
        assert other.ask_both(f"X-Session: {number}") == {first.body}


def test_the_store_holds_no_key_of_a_session(persistent, crowd, server):
    running = server("redis")
    site = persistent(method="header", name="authorization", store=store_at(running))
    crowd(site).ask("Authorization: Bearer hush-hush")
    found = running.ask("KEYS *")
    assert found.startswith(b"*1\r\n$40\r\ngateway:")
    assert b"hush" not in found
    assert running.ask("GET", found.splitlines()[2].decode()).splitlines()[1].startswith(b"127.0.0.1:")
