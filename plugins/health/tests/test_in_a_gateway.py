"""Checks in a real gateway: what every worker holds of an endpoint, and that it outlives the worker that checks."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest

from gateway.testing import Load, reply, run_command, site_text, wait_until

QUICK = {"interval": "20ms", "fall": 2, "rise": 2, "timeout": "2s", "passive": {"failures": 0, "error_rate": 0}}
HTTP = {**QUICK, "path": "/healthz"}

MOVING = """
import json
from gateway import EndpointSettings, Response, hookimpl

class Moving:
    @hookimpl
    def on_request(self, exchange):
        if exchange.request.path == "/move":
            urls = exchange.request.query.decode().split(",")
            exchange.app.set_endpoints("app", [EndpointSettings(url=url) for url in urls])
            return Response(204)
"""


def upstream(*apps, health=None, **settings):
    return {"app": {"endpoints": [app.url for app in apps], "health": health or HTTP, **settings}}


def name_of(app) -> str:
    return app.url.partition("//")[2]


def answers(site, count: int = 16) -> set[bytes]:
    return {site.get("/").body for _ in range(count)}


def wait_for_change(site, app, change: str, times: int = 2) -> None:
    """Wait until that many workers have said so."""
    site.wait_for_log(f"endpoint {name_of(app)}: {change}", times=times)


def listed(site) -> dict[str, dict[str, object]]:
    done = site.command("endpoints", "--json")
    assert done.returncode == 0, done.stderr
    return {item["endpoint"]: item for item in json.loads(done.stdout)}


def checking_worker(site) -> int:
    """The process id of worker 0."""
    return int(re.search(r"^\W*0\W+(\d+)", site.command("status").stdout, re.MULTILINE)[1])


@pytest.fixture
def apps(lasting):
    return [lasting(reply(name)) for name in (b"one", b"two")]


@pytest.fixture
def site(gateway, apps):
    return gateway(workers=2, plugins=["balancing", "health"], upstreams=upstream(*apps, balancer="round-robin"))


def test_an_endpoint_that_dies_is_down_in_every_worker_and_up_again_when_it_is_back(site, apps):
    assert answers(site) == {b"one", b"two"}
    apps[0].die()
    wait_for_change(site, apps[0], "up → down: http check: Connection refused")
    assert answers(site) == {b"two"}
    apps[0].revive()
    wait_for_change(site, apps[0], "down → up: http check: it passes again")
    assert answers(site) == {b"one", b"two"}
    assert f"endpoint {name_of(apps[1])}" not in site.log


def test_the_list_of_endpoints_says_why_and_follows_the_reason(site, apps):
    name = name_of(apps[0])
    apps[0].answer(reply(status=b"503 Busy"))
    wait_for_change(site, apps[0], "up → down")
    assert listed(site)[name]["state"] == "down"
    assert listed(site)[name]["marks"]["checks"]["reason"] == "http check: status 503, not 200-399"
    (row,) = [line for line in site.command("endpoints").stdout.splitlines() if name in line]
    assert "checks: http check: status 503, not 200-399" in row
    apps[0].die()
    wait_until(lambda: listed(site)[name]["marks"]["checks"]["reason"] == "http check: Connection refused")
    assert site.log.count(f"endpoint {name}: ") == 2


@pytest.mark.parametrize("check", ["tcp", "tls", "https"])
def test_every_kind_takes_down_and_brings_back(gateway, lasting, authority, check):
    certificate = authority.issue("127.0.0.1") if check != "tcp" else None
    apps = [lasting(reply(name), tls=certificate) for name in (b"one", b"two")]
    health = {**QUICK, "check": "http" if check == "https" else check}
    tls = {"ca": authority.cert}
    site = gateway(workers=2, plugins=["balancing", "health"], upstreams=upstream(*apps, health=health, tls=tls))
    apps[0].die()
    wait_for_change(site, apps[0], f"up → down: {health['check']} check: Connection refused")
    assert answers(site) == {b"two"}
    apps[0].revive()
    wait_for_change(site, apps[0], "down → up")
    assert answers(site) == {b"one"}


def test_an_endpoint_whose_certificate_is_not_accepted_is_down(gateway, origin, authority):
    apps = [origin(tls=authority.issue("other.internal")), origin(tls=authority.issue("127.0.0.1"))]
    site = gateway(
        plugins=["health"], upstreams=upstream(*apps, health={**QUICK, "check": "tls"}, tls={"ca": authority.cert})
    )
    wait_for_change(site, apps[0], "up → down: tls check: the certificate is not accepted: ", times=1)


def test_a_grpc_service_that_stops_serving_is_down(gateway, grpc, origin):
    server, other = grpc(), origin(reply(b"other"))
    health = {**QUICK, "check": "grpc", "service": "shop.Orders", "port": int(server.url.rpartition(":")[2])}
    apps = [origin(reply(b"one"))]
    site = gateway(workers=2, plugins=["health"], upstreams=upstream(*apps, health=health))
    wait_until(lambda: server.asked)
    server.say(2)
    wait_for_change(site, apps[0], "up → down: grpc check: NOT_SERVING")
    assert site.get().status == 503
    server.say(1)
    wait_for_change(site, apps[0], "down → up")
    assert site.get().body == b"one"
    assert other.requests == []


def test_an_endpoint_at_a_unix_socket_is_checked(gateway, origin, tmp_path):
    app = origin(unix_path=tmp_path / "app.sock")
    site = gateway(plugins=["health"], upstreams=upstream(app))
    app.wait_for_requests(3)
    assert {request.target for request in app.requests} == {b"/healthz"}
    app.stop_listening()
    site.wait_for_log("up → down: http check: Connection refused")


def test_what_the_plugin_says_holds_for_all_upstreams_and_what_an_upstream_says_for_it(gateway, origin):
    apps = [origin(), origin(), origin()]
    health = [{}, {"health": {"path": "/own"}}, {"health": {"check": "none"}}]
    upstreams = {
        f"app{number}": {"endpoints": [app.url], **own}
        for number, (app, own) in enumerate(zip(apps, health, strict=True))
    }
    site = gateway(plugins=[{"use": "health", "path": "/all", "interval": "20ms"}], upstreams=upstreams)
    for app, path in ((apps[0], b"/all"), (apps[1], b"/own")):
        app.wait_for_requests(3)
        assert {request.target for request in app.requests} == {path}
    assert apps[2].opened == 0
    assert "→ down" not in site.log


def test_the_death_of_the_worker_that_checks_changes_no_state_and_ends_no_check(site, apps):
    apps[0].die()
    wait_for_change(site, apps[0], "up → down")
    before = checking_worker(site)
    os.kill(before, signal.SIGKILL)
    site.wait_for_log("worker 0 is back")
    assert checking_worker(site) != before
    apps[1].wait_for_requests(len(apps[1].requests) + 5)
    assert answers(site, 30) == {b"two"}
    apps[0].revive()
    wait_for_change(site, apps[0], "down → up")
    assert answers(site) == {b"one", b"two"}
    assert site.log.count("down → up") == 2  # once in each worker, and never before
    assert f"endpoint {name_of(apps[1])}: up → down" not in site.log


def test_a_reload_and_a_rolling_restart_change_no_state(site, apps):
    apps[0].die()
    wait_for_change(site, apps[0], "up → down")
    assert site.reload().returncode == 0
    apps[1].wait_for_requests(len(apps[1].requests) + 5)
    assert site.restart().returncode == 0
    apps[1].wait_for_requests(len(apps[1].requests) + 5)
    assert answers(site, 30) == {b"two"}
    assert "down → up" not in site.log
    apps[0].revive()
    wait_for_change(site, apps[0], "down → up")


def test_after_a_reload_the_new_settings_alone_are_followed(gateway, apps):
    def text(path: str) -> str:
        return site_text(workers=2, plugins=["health"], upstreams=upstream(*apps, health={**QUICK, "path": path}))

    site = gateway(text("/old"))
    apps[0].wait_for_requests(2)
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")  # keeps the old App busy
        apps[0].wait_for_requests(len(apps[0].requests) + 2)
        assert site.reload(text("/new")).returncode == 0
        wait_until(lambda: apps[0].last.target == b"/new")
        seen = len(apps[0].requests)
        apps[0].wait_for_requests(seen + 20)
        late = [request.target for request in apps[0].requests[seen + 3 :]]
        assert b"/old" not in late


@pytest.mark.parametrize("without", ["plugin", "check"])
def test_when_nobody_checks_any_more_nobody_is_held_down(gateway, apps, without):
    settings = {"workers": 2, "plugins": ["balancing", "health"]}
    site = gateway(site_text(**settings, upstreams=upstream(*apps, balancer="round-robin")))
    apps[0].answer(reply(b"one", status=b"500 No"))
    wait_for_change(site, apps[0], "up → down")
    app = upstream(*apps, balancer="round-robin")["app"]
    if without == "plugin":
        settings["plugins"] = ["balancing"]
        del app["health"]
    else:
        app["health"] = {"check": "none"}
    done = site.reload(site_text(**settings, upstreams={"app": app}))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: answers(site) == {b"one", b"two"})


def test_endpoints_that_come_and_go_are_followed(gateway, apps):
    plugins = ["balancing", "health", "./moving.py:Moving"]
    site = gateway(
        site_text(workers=2, plugins=plugins, upstreams=upstream(apps[0], balancer="round-robin")),
        files={"moving.py": MOVING},
    )
    apps[0].wait_for_requests(2)
    assert apps[1].opened == 0
    assert site.get(f"/move?{apps[0].url},{apps[1].url}").status == 204
    apps[1].wait_for_requests(2)
    apps[1].die()
    wait_for_change(site, apps[1], "up → down")
    assert site.get(f"/move?{apps[0].url}").status == 204
    apps[1].revive()

    def is_left_alone() -> bool:
        opened = apps[1].opened
        apps[0].wait_for_requests(len(apps[0].requests) + 10)
        return apps[1].opened == opened

    wait_until(is_left_alone)  # the worker that checks hears of it a moment later than the one that was asked
    assert site.get(f"/move?{apps[0].url},{apps[1].url}").status == 204
    wait_until(lambda: b"two" in answers(site))


def test_no_more_than_so_many_checks_are_under_way_at_once(gateway, origin):
    now, most = [0], [0]

    def counting(connection, request):
        now[0] += 1
        most[0] = max(most[0], now[0])
        connection.trickle(b"HTTP/1.1 200 OK\r\n", pieces=1, pause=0.01)
        now[0] -= 1
        connection.send(b"Content-Length: 0\r\n\r\n")

    apps = [origin(counting) for _ in range(6)]
    gateway(plugins=["health"], upstreams=upstream(*apps, health={**HTTP, "max_concurrent": 1}))
    for app in apps:
        app.wait_for_requests(3)
    assert most == [1]


def test_an_endpoint_that_answers_too_late_is_down(gateway, apps):
    site = gateway(plugins=["health"], upstreams=upstream(*apps, health={**HTTP, "timeout": "20ms"}))
    apps[0].answer(lambda connection, request: connection.stall())
    wait_for_change(site, apps[0], "up → down: http check: no answer within 0.02 s", times=1)


def test_an_endpoint_that_dies_and_comes_back_under_load_costs_no_request(site, apps):
    with Load(site.address, connections=8) as load:
        for number in (1, 2, 3):
            load.wait_for(100)
            apps[0].die()
            wait_for_change(site, apps[0], "up → down", times=2 * number)
            load.wait_for(100)
            apps[0].revive()
            wait_for_change(site, apps[0], "down → up", times=2 * number)
    assert not load.lost, load


@pytest.mark.parametrize(
    ("site_text_of", "said"),
    [
        ('health = { path = "healthz" }', 'upstreams.app.health.path: expected a path such as "/healthz"'),
        (
            "health = { passive = { failure = 1 } }",
            "upstreams.app.health.passive: unknown key 'failure'; did you mean 'failures'?",
        ),
        ('health = { check = "grpc", interval = "5" }', "upstreams.app.health.interval: expected a duration"),
        ('health = "yes"', "upstreams.app.health: expected a table"),
    ],
)
def test_gateway_check_names_the_file_and_the_key(tmp_path, site_text_of, said):
    (tmp_path / "site.toml").write_text(
        f'plugins = ["health"]\nlisteners = [{{ bind = "127.0.0.1:0" }}]\n'
        f'[upstreams.app]\nendpoints = ["http://127.0.0.1:9"]\n{site_text_of}\n'
    )
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"gateway: site.toml: {said}")
    assert len(done.stderr.splitlines()) == 1


def test_gateway_check_says_when_the_plugin_is_not_loaded(tmp_path):
    (tmp_path / "site.toml").write_text(
        site_text(upstreams={"app": {"endpoints": ["http://a"], "health": {"path": "/"}}})
    )
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert "site.toml: upstreams.app.health: the plugin 'health' is not in the list of plugins" in done.stderr


def test_settings_of_a_route_are_refused_with_the_place_where_they_go(tmp_path):
    route = {"upstream": "app", "plugins": {"health": {"path": "/other"}}}
    (tmp_path / "site.toml").write_text(
        site_text(plugins=["health"], upstreams={"app": {"endpoints": ["http://a"]}}, routes=[route])
    )
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert "is said in upstreams.NAME.health" in done.stderr
