"""Overload: an upstream has so many exchanges as it may have, and a slow endpoint need not be waited for."""

from __future__ import annotations

import json

import pytest

from gateway.testing import Held, OriginConnection, SeenRequest, reply, wait_until

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi"


def test_one_exchange_too_many_gets_503_at_once_and_the_others_go_on(gateway, origin):
    held = Held(reply(b"slow"))
    app = origin(held)
    site = gateway(upstreams={"app": {"endpoints": [app.url], "max_in_flight": 2}})
    with site.connect() as one, site.connect() as two, site.connect() as three:
        one.send(GET)
        two.send(GET)
        app.wait_for_requests(2)
        refused = three.request(GET)
        assert refused.status == 503
        assert refused.header("retry-after")
        held.released.set()
        assert [client.read_response().body for client in (one, two)] == [b"slow", b"slow"]
        assert three.request(GET).body == b"slow"
    assert "2 exchanges are under way (max_in_flight)" in site.log


def never(connection: OriginConnection, request: SeenRequest) -> None:
    connection.wait_closed()


@pytest.fixture
def slow(origin):
    return origin(never)


def hedging(gateway, *apps, **settings):
    upstream = {"endpoints": [app.url for app in apps], "hedge_after": "30ms", **settings}
    return gateway(plugins=["access-log"], upstreams={"app": upstream})


def test_a_second_endpoint_is_asked_when_the_first_is_slow(gateway, origin, slow):
    quick = origin(reply(b"quick"))
    site = hedging(gateway, slow, quick)
    assert site.request(GET).body == b"quick"
    wait_until(lambda: slow.open_now == 0, message="the attempt that lost is still open")
    site.stop()
    line = json.loads((site.directory / "stdout.log").read_text())
    assert line["attempts"] == 2
    assert line["endpoint"] == quick.url.removeprefix("http://")


def test_the_first_may_still_win(gateway, origin, slow):
    held = Held(reply(b"slow"))
    site = hedging(gateway, origin(held), slow)
    with site.connect() as client:
        client.send(GET)
        slow.wait_for_requests(1)
        held.released.set()
        assert client.read_response().body == b"slow"
        wait_until(lambda: slow.open_now == 0, message="the attempt that lost is still open")


def test_a_streamed_response_wins_as_a_whole(gateway, origin, slow):
    body = b"x" * 1_000_000
    site = hedging(gateway, slow, origin(reply(body)))
    assert site.request(GET).body == body


def test_what_is_not_idempotent_is_sent_once(gateway, origin, slow):
    quick = origin(reply(b"quick"))
    site = hedging(gateway, slow, quick, timeouts={"response": "200ms"})
    assert site.request(POST).status == 504
    assert quick.requests == []


def test_quick_endpoints_are_asked_once(gateway, origin):
    first, second = origin(reply(b"first")), origin(reply(b"second"))
    site = hedging(gateway, first, second, hedge_after="5s")  # quick is what a busy machine can keep, too
    assert {site.request(GET).body for _ in range(10)} == {b"first"}
    assert second.requests == []


def test_both_failing_is_the_last_failure(gateway, origin, slow):
    site = hedging(gateway, slow, origin(b"no HTTP\r\n\r\n"), timeouts={"response": "150ms"})
    assert site.request(GET).status == 504
    wait_until(lambda: slow.open_now == 0)


def test_a_client_that_leaves_ends_both(gateway, origin, slow):
    other = origin(never)
    site = hedging(gateway, slow, other)
    with site.connect() as client:
        client.send(GET)
        other.wait_for_requests(1)
    wait_until(lambda: slow.open_now == other.open_now == 0, message="an attempt outlives its client")


def test_clients_that_wait_to_be_accepted_are_told_of(gateway, origin):
    site = gateway(endpoints=[origin()], listeners=[{"bind": "127.0.0.1:0", "max_connections": 2}])
    with site.connect() as one, site.connect() as two, site.connect() as three:
        assert one.request(GET).status == two.request(GET).status == 200
        three.send(GET)
        site.wait_for_log(f"listener {site.url}: clients wait to be accepted, 1 at the moment: all workers hold")
        assert f'gateway_listener_waiting{{listener="{site.url}"}} 1' in site.command("metrics").stdout
        one.close()
        assert three.read_response().status == 200
        site.wait_for_log(f"listener {site.url}: clients are accepted at once again")
    assert f'gateway_listener_waiting{{listener="{site.url}"}} 0' in site.command("metrics").stdout


def test_exchanges_that_wait_for_a_connection_are_counted(gateway, origin):
    held = Held(reply(b"slow"))
    app = origin(held)
    site = gateway(
        upstreams={"app": {"endpoints": [app.url], "pool": {"max_connections": 1, "queue_timeout": "9s"}}}
    )

    def waiting() -> bool:
        return 'gateway_upstream_waiting{upstream="app"} 1\n' in site.command("metrics").stdout

    with site.connect() as one, site.connect() as two:
        one.send(GET)
        app.wait_for_requests(1)
        two.send(GET)
        wait_until(waiting, within=10, message="nobody waits")
        held.released.set()
        assert [client.read_response().body for client in (one, two)] == [b"slow", b"slow"]
