"""Ejections in a real gateway: who is taken out for what, that it comes back, and that somebody is always left."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest

from gateway.testing import Load, reply, wait_until

EJECT = {"passive": {"failures": 3, "error_rate": 0, "ejection": "300ms", "max_ejection": "300ms"}}
FOR_LONG = {"passive": {**EJECT["passive"], "ejection": "1h", "max_ejection": "1h"}}


@pytest.fixture
def apps(lasting):
    return [lasting(reply(name)) for name in (b"one", b"two")]


@pytest.fixture
def start(gateway):
    def start(apps, health, workers: int = 2, **settings: object):
        upstream = {"balancer": "round-robin", "endpoints": [app.url for app in apps], "health": health, **settings}
        return gateway(workers=workers, plugins=["balancing", "health"], upstreams={"app": upstream})

    return start


def answers(site, count: int = 16) -> set[bytes]:
    return {site.get("/").body for _ in range(count)}


def listed(site) -> dict[str, dict[str, object]]:
    done = site.command("endpoints", "--json")
    assert done.returncode == 0, done.stderr
    return {item["endpoint"]: item for item in json.loads(done.stdout)}


def ask_until(site, text: str, times: int = 2) -> None:
    """Send requests until the log says it that often."""
    wait_until(lambda: site.get("/") and site.log.count(text) >= times, message=f"the log never said {text!r}")


def test_an_endpoint_that_refuses_connections_is_ejected_everywhere_and_comes_back(start, apps):
    site = start(apps, EJECT)
    assert answers(site) == {b"one", b"two"}
    apps[0].die()
    ask_until(site, f"endpoint {apps[0].name}: up → down: failures in a row: 3, lastly: Connection refused")
    apps[0].revive()
    site.wait_for_log(f"endpoint {apps[0].name}: down → up: its ejection is over", times=2)
    assert answers(site) == {b"one", b"two"}


def test_the_list_of_endpoints_says_why_it_is_out(start, apps):
    site = start(apps, FOR_LONG)
    apps[0].answer(reply(b"one", status=b"503 Busy"))
    ask_until(site, "up → down")
    item = listed(site)[apps[0].name]
    assert item["state"] == "down"
    assert item["marks"]["outlier"]["reason"] == "failures in a row: 3, lastly: status 503; out for 3600 s"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "closed the connection without a byte of a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", "closed the connection within the body"),
        (b"hello\r\n\r\n", "not a valid response"),
    ],
)
def test_every_way_to_fail_counts(start, origin, apps, sent, said):
    def bad(connection, request):
        connection.send(sent)
        connection.close()

    site = start([origin(bad), apps[0]], FOR_LONG, retries={"attempts": 1})
    wait_until(lambda: ask(site) and site.log.count("up → down: failures in a row: 3, lastly: ") == 2)
    assert answers(site) == {b"one"}


def ask(site) -> bool:
    """A request whose response may be cut."""
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        client.read_until_closed()
    return True


def test_a_share_of_failures_ejects_as_well(start, apps):
    health = {"passive": {"failures": 0, "error_rate": 0.3, "min_requests": 10, "ejection": "1h"}}
    site = start(apps, health, workers=1)
    every_other = iter(range(1_000_000))

    def flaky(connection, request):
        connection.send(reply(b"one", status=b"200 OK" if next(every_other) % 2 else b"502 Bad"))

    apps[0].answer(flaky)
    ask_until(site, " attempts failed, lastly: status 502", times=1)
    assert re.search(r"up → down: \d+ of 1\d attempts failed", site.log)


def test_a_success_begins_the_row_anew(start, apps):
    site = start(apps, EJECT, workers=1)
    turn = iter(range(1_000_000))

    def two_of_three(connection, request):
        connection.send(reply(b"one", status=b"502 Bad" if next(turn) % 3 else b"200 OK"))

    apps[0].answer(two_of_three)
    for _ in range(60):
        site.get("/")
    assert "→ down" not in site.log


def test_clients_that_leave_are_not_held_against_the_endpoint(start, apps):
    def slow(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(50_000))
        connection.wait_closed()

    site = start(apps, EJECT, workers=1)
    for app in apps:
        app.answer(slow)
    for _ in range(12):
        with site.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.wire.take_until(b"\r\n\r\n")
    wait_until(lambda: apps[0].open_now == apps[1].open_now == 0)
    for app in apps:
        app.answer(reply(b"well"))
    assert answers(site) == {b"well"}
    assert "→ down" not in site.log


def test_kept_connections_that_were_closed_are_not_held_against_the_endpoint(start, apps):
    served: set[tuple[int, int]] = set()

    def once_each(connection, request):
        place = id(connection), connection.number
        if place in served:
            connection.close()
        else:
            served.add(place)
            connection.send(reply(b"well"))

    site = start(apps, EJECT, workers=1)
    for app in apps:
        app.answer(once_each)
    for _ in range(40):
        assert site.get("/").body == b"well"
    assert sum(len(app.requests) for app in apps) >= 60  # about every second attempt met a closed connection
    assert "→ down" not in site.log


def test_statuses_that_do_not_count_eject_nobody(start, apps):
    site = start(apps, EJECT, workers=1)
    apps[0].answer(reply(status=b"500 Mine"))
    for _ in range(30):
        site.get("/")
    assert "→ down" not in site.log


def test_never_are_all_of_them_out(start, lasting):
    apps = [lasting(reply(status=b"503 Busy")) for _ in range(4)]
    site = start(apps, FOR_LONG)
    ask_until(site, "up → down", times=4)
    for _ in range(60):
        assert site.get("/").status == 503
    states = [item["state"] for item in listed(site).values()]
    assert sorted(states) == ["down", "down", "up", "up"]
    for app in apps:
        app.answer(reply(b"well"))
    assert answers(site) == {b"well"}


def test_a_lone_endpoint_stays_in(start, lasting):
    app = lasting(reply(b"one", status=b"503 Busy"))
    site = start([app], EJECT)
    for _ in range(30):
        assert site.get("/").body == b"one"
    assert "→ down" not in site.log


def test_an_ejected_endpoint_comes_back_when_it_is_the_last(start, apps):
    health = {**FOR_LONG, "path": "/healthz", "interval": "20ms", "fall": 1}
    site = start(apps, health)
    apps[0].answer(
        lambda connection, request: connection.send(
            reply(b"one", status=b"200 OK" if request.target == b"/healthz" else b"503 Busy")
        )
    )
    ask_until(site, f"endpoint {apps[0].name}: up → down")
    apps[1].die()
    site.wait_for_log(f"endpoint {apps[0].name}: down → up: no other endpoint is left", times=2)
    assert answers(site) == {b"one"}


def test_the_death_of_the_worker_that_decides_leaves_nobody_out_for_ever(start, apps):
    site = start(apps, {"passive": {**EJECT["passive"], "ejection": "1s", "max_ejection": "1s"}})
    apps[0].answer(reply(status=b"503 Busy"))
    ask_until(site, f"endpoint {apps[0].name}: up → down")
    apps[0].answer(reply(b"one"))
    os.kill(deciding_worker(site), signal.SIGKILL)
    site.wait_for_log("worker 0 is back")
    site.wait_for_log("down → up: its ejection is over", times=2)
    assert answers(site) == {b"one", b"two"}


def deciding_worker(site) -> int:
    """The process id of worker 0."""
    return int(re.search(r"^\W*0\W+(\d+)", site.command("status").stdout, re.MULTILINE)[1])


def test_an_endpoint_that_fails_under_load_costs_no_request(start, apps):
    site = start(apps, EJECT)
    with Load(site.address, connections=8) as load:
        load.wait_for(200)
        apps[0].die()
        site.wait_for_log(f"endpoint {apps[0].name}: up → down", times=2)
        load.wait_for(200)
        apps[0].revive()
        site.wait_for_log(f"endpoint {apps[0].name}: down → up", times=2)
        load.wait_for(200)
    assert not load.lost, load
