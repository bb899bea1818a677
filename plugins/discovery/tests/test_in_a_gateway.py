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


@pytest.fixture
def explained(tmp_path):
    """What `gateway explain` says, without a gateway, about an upstream that looks its endpoints up."""

    def explain(upstream, *words) -> str:
        site = site_text(plugins=["discovery"], upstreams={"app": upstream})
        (tmp_path / "site.toml").write_text(site)
        done = run_command("explain", "site.toml", "/", *words, directory=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return explain


def test_an_upstream_for_which_none_was_found_is_told_of_in_the_list(gateway, tmp_path):
    site = gateway(workers=1, plugins=["discovery"], upstreams={"app": {"discovery": {"file": "absent.toml"}}})
    listed = site.command("endpoints", "--json")
    assert json.loads(listed.stdout) == []
    assert listed.stderr == "gateway: warning: upstream app has no endpoints: what is sent there gets 503\n"
    assert site.get("/").status == 503


def test_explain_reads_the_file(explained, tmp_path):
    (tmp_path / "e.json").write_text('["http://10.0.0.1:80", {"url": "http://10.0.0.2:80", "priority": 1}]')
    record = json.loads(explained({"discovery": {"file": "e.json"}}, "--json"))
    assert [item["endpoint"] for item in record["endpoints"]] == ["10.0.0.1:80", "10.0.0.2:80"]
    assert record["pick"] == "10.0.0.1:80"
    assert "note" not in record


@pytest.mark.parametrize(
    ("table", "note"),
    [
        ({"dns": "app.test:80"}, "(app.test:80): not known without --live"),
        ({"srv": "_http._tcp.app.test"}, "(_http._tcp.app.test): not known without --live"),
        ({"file": "absent.toml"}, "absent.toml): cannot be read: No such file or directory"),
        ({"file": "empty.json"}, "empty.json): no endpoint in it"),
        ({"file": "wrong.json"}, "wrong.json): not JSON: "),
    ],
)
def test_explain_says_what_it_cannot_know_and_refuses_nothing_for_that(explained, tmp_path, table, note):
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "wrong.json").write_text("[")
    alone = explained({"discovery": table})
    assert "Refused" not in alone
    assert "Pick" not in alone
    assert "Note endpoints of upstream 'app' are discovered (" in alone
    assert note in alone
    listed = explained({"endpoints": ["http://10.0.0.1:80"], "discovery": table})
    assert note in listed
    assert "Pick 10.0.0.1:80" in listed


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
