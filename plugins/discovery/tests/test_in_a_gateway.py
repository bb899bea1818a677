"""Discovery in a real gateway: endpoints come and go in every worker, and no request is lost."""

from __future__ import annotations

import json
import os
import signal

import pytest

from gateway.testing import reply, run_command, site_text, wait_until

QUICK = {"use": "discovery", "min_interval": "20ms", "retry": "20ms", "timeout": "500ms"}


def answers(site, count: int = 16) -> set[bytes]:
    return {site.get("/").body for _ in range(count)}


@pytest.fixture
def apps(origin):
    """Two origins on one port: 127.0.0.1 and 127.0.0.2 look the same to DNS but for the address."""
    return [origin(reply(name)) for name in (b"one", b"two")]


def file_of(path, *apps) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps([app.url for app in apps]))
    fresh.rename(path)


@pytest.fixture
def watched(gateway, apps, tmp_path):
    path = tmp_path / "endpoints.json"
    file_of(path, apps[0])
    upstream = {"balancer": "random", "discovery": {"file": str(path), "interval": "20ms"}}
    site = gateway(workers=2, plugins=["balancing", QUICK], upstreams={"app": upstream})
    site.list_file = path
    return site


def test_a_file_that_changes_changes_the_endpoints_of_every_worker(watched, apps):
    assert answers(watched) == {b"one"}
    file_of(watched.list_file, *apps)
    wait_until(lambda: answers(watched) == {b"one", b"two"})
    file_of(watched.list_file, apps[1])
    wait_until(lambda: answers(watched) == {b"two"})
    wait_until(lambda: apps[0].open_now == 0, message="connections to an endpoint that is gone are kept")


def test_a_file_that_is_wrong_or_gone_changes_nothing(watched, apps):
    watched.list_file.write_text("[")
    watched.wait_for_log("not JSON")
    assert answers(watched) == {b"one"}
    watched.list_file.unlink()
    assert answers(watched) == {b"one"}
    file_of(watched.list_file, apps[1])
    wait_until(lambda: answers(watched) == {b"two"})
    watched.wait_for_log("found again")


def test_workers_that_start_later_know_the_endpoints_and_the_first_goes_on_looking(watched, apps):
    file_of(watched.list_file, apps[1])
    wait_until(lambda: answers(watched) == {b"two"})
    for pid in watched.workers:
        os.kill(pid, signal.SIGKILL)
    watched.wait_for_log("is back", times=2)
    assert answers(watched) == {b"two"}
    file_of(watched.list_file, apps[0])
    wait_until(lambda: answers(watched) == {b"one"})
    assert watched.reload().returncode == 0
    file_of(watched.list_file, apps[1])
    wait_until(lambda: answers(watched) == {b"two"})


def test_a_reload_that_lists_endpoints_forgets_those_that_were_found(watched, apps):
    assert answers(watched) == {b"one"}
    listed = site_text(workers=2, plugins=["balancing"], upstreams={"app": {"endpoints": [apps[1].url]}})
    assert watched.reload(listed).returncode == 0
    wait_until(lambda: answers(watched) == {b"two"})


def test_names_are_looked_up_again_and_the_last_answer_holds_while_dns_is_away(gateway, apps, names):
    one, two = apps
    names.records["_http._tcp.app.test", "SRV"] = (0, [f"0 1 {one.port} a.test."])
    names.a("a.test", "127.0.0.1")
    plugin = {**QUICK, "resolvers": [names.address]}
    upstream = {"discovery": {"srv": "_http._tcp.app.test"}}
    site = gateway(workers=2, plugins=[plugin], upstreams={"app": upstream})
    assert answers(site) == {b"one"}
    names.is_silent = True
    site.wait_for_log("the endpoints stay as they are")
    assert answers(site) == {b"one"}
    names.records["_http._tcp.app.test", "SRV"] = (0, [f"0 1 {two.port} a.test."])
    names.is_silent = False
    wait_until(lambda: answers(site) == {b"two"})


def test_addresses_of_a_name_are_endpoints(gateway, apps, names):
    names.a("app.test", "127.0.0.1")
    plugin = {**QUICK, "resolvers": [names.address]}
    upstream = {"discovery": {"dns": f"app.test:{apps[0].port}"}}
    site = gateway(plugins=[plugin], upstreams={"app": upstream})
    assert answers(site, 3) == {b"one"}


def test_until_something_is_found_the_listed_endpoints_serve(gateway, apps, names):
    plugin = {**QUICK, "resolvers": [names.address]}
    upstream = {"endpoints": [apps[0].url], "discovery": {"dns": f"app.test:{apps[1].port}"}}
    site = gateway(plugins=[plugin], upstreams={"app": upstream})
    assert answers(site, 3) == {b"one"}
    names.a("app.test", "127.0.0.1")
    wait_until(lambda: answers(site, 3) == {b"two"})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"dns": "app.internal"}, 'discovery.dns: expected a name and a port such as "app.internal:8000"'),
        ({"srv": "app"}, "discovery.srv: expected a service such as"),
        ({"dns": "a:1", "file": "x"}, "discovery: dns and file say the same thing twice"),
        ({"intervall": "1s"}, "discovery: unknown key 'intervall'; did you mean 'interval'?"),
    ],
)
def test_a_table_that_is_wrong_is_named_at_load(tmp_path, table, said):
    site = tmp_path / "site.toml"
    site.write_text(site_text(plugins=["discovery"], upstreams={"app": {"discovery": table}}))
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert f"site.toml: upstreams.app.{said}" in done.stderr
