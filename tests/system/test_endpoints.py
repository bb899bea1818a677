"""Endpoints at run time: an operator lists, drains, takes out, brings back and weighs them, in every worker."""

from __future__ import annotations

import json
import os
import signal

import pytest

from gateway.testing import reply, wait_until


@pytest.fixture
def apps(origin):
    return [origin(reply(name)) for name in (b"one", b"two")]


@pytest.fixture
def site(gateway, apps):
    upstream = {"endpoints": [app.url for app in apps], "balancer": "round-robin"}
    return gateway(workers=2, plugins=["balancing"], upstreams={"app": upstream})


def name_of(app) -> str:
    return app.url.removeprefix("http://")


def answers(site, count: int = 12) -> set[bytes]:
    """Who answers, over fresh connections, so that every worker is asked."""
    return {site.get("/").body for _ in range(count)}


def operate(site, *words: str) -> str:
    done = site.command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(site) -> dict[str, dict[str, object]]:
    return {item["endpoint"]: item for item in json.loads(operate(site, "endpoints", "--json"))}


def test_a_drained_endpoint_gets_nothing_new_in_any_worker_until_it_is_enabled(site, apps):
    assert answers(site) == {b"one", b"two"}
    done = operate(site, "drain", "app", name_of(apps[0]), "--reason", "new disk")
    assert done == f"app {name_of(apps[0])}: draining, 0 in flight\n"
    wait_until(lambda: answers(site) == {b"two"})
    found = listed(site)[name_of(apps[0])]
    assert found["state"] == "draining"
    assert found["marks"] == {"operator": {"state": "draining", "reason": "new disk"}}
    assert operate(site, "enable", "app", apps[0].url) == f"app {name_of(apps[0])}: enabled\n"
    wait_until(lambda: answers(site) == {b"one", b"two"})


def test_what_an_operator_said_holds_for_workers_that_start_later_and_after_a_reload(site, apps):
    operate(site, "maintenance", "app", name_of(apps[1]))
    wait_until(lambda: answers(site) == {b"one"})
    before = site.workers
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(site.workers) == 2 and before[0] not in site.workers)
    site.wait_for_log("is back")
    assert answers(site, 30) == {b"one"}
    site.restart()
    assert answers(site, 30) == {b"one"}
    site.reload()
    assert answers(site, 30) == {b"one"}
    assert listed(site)[name_of(apps[1])]["state"] == "maintenance"


def test_a_weight_of_zero_takes_an_endpoint_out(site, apps):
    told = f"app {name_of(apps[0])}: weight"
    assert operate(site, "weight", "app", name_of(apps[0]), "0") == f"{told} 0\n"
    wait_until(lambda: answers(site) == {b"two"})
    said = operate(site, "weight", "app", name_of(apps[0]), "2")
    assert said == f"{told} 2, of which the balancer 'round-robin' takes no notice; 'weighted-round-robin' would\n"
    wait_until(lambda: answers(site) == {b"one", b"two"})
    assert listed(site)[name_of(apps[0])]["weight"] == 2


def test_a_weight_that_the_balancer_goes_by_is_just_told(gateway, apps):
    upstream = {"endpoints": [app.url for app in apps], "balancer": "weighted-round-robin"}
    site = gateway(plugins=["balancing"], upstreams={"app": upstream})
    assert operate(site, "weight", "app", name_of(apps[0]), "5") == f"app {name_of(apps[0])}: weight 5\n"


def test_the_list_shows_state_and_reason_as_a_table(site, apps):
    operate(site, "drain", "app", name_of(apps[0]), "--reason", "new disk")
    shown = operate(site, "endpoints")
    (row,) = [line for line in shown.splitlines() if name_of(apps[0]) in line]
    assert "draining" in row
    assert "operator: new disk" in row


def test_draining_again_without_a_reason_keeps_the_one_that_was_given(site, apps):
    def reason() -> str:
        return listed(site)[name_of(apps[0])]["marks"]["operator"]["reason"]

    operate(site, "drain", "app", name_of(apps[0]), "--reason", "new disk")
    operate(site, "drain", "app", name_of(apps[0]))
    assert reason() == "new disk"
    operate(site, "maintenance", "app", name_of(apps[0]))
    assert reason() == "by the operator"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("drain", "ap", "HERE"), "no upstream 'ap'; did you mean 'app'?"),
        (("drain", "app", "127.0.0.1:1"), "upstream 'app' has no endpoint '127.0.0.1:1'"),
        (("weight", "app", "HERE", "70000"), "a weight is a whole number from 0 to 65535, not 70000"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_status_2(site, apps, words, said):
    done = site.command(*(name_of(apps[0]) if word == "HERE" else word for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert answers(site) == {b"one", b"two"}


def test_backups_are_asked_when_too_few_of_the_others_are_left(gateway, origin):
    main, backup = origin(reply(b"main")), origin(reply(b"backup"))
    endpoints = [main.url, {"url": backup.url, "priority": 1}]
    site = gateway(workers=1, upstreams={"app": {"endpoints": endpoints}})
    assert answers(site) == {b"main"}
    operate(site, "maintenance", "app", name_of(main))
    wait_until(lambda: answers(site) == {b"backup"})


def test_metrics_are_those_of_all_workers(gateway, origin):
    apps = [origin(), origin()]
    site = gateway(endpoints=apps, workers=2)
    for _ in range(20):
        assert site.get().status == 200
    gone = apps[1].url.removeprefix("http://")
    assert site.command("maintenance", "app", gone).returncode == 0
    shown = site.command("metrics").stdout.splitlines()
    assert "gateway_exchanges_total 20" in shown
    assert "gateway_exchanges_in_flight 0" in shown
    assert 'gateway_upstream_in_flight{upstream="app"} 0' in shown
    assert f'gateway_endpoint_up{{upstream="app",endpoint="{gone}"}} 0' in shown
    assert sum(line.startswith("gateway_endpoint_up{") and line.endswith(" 1") for line in shown) == 1
