"""The profile l7-balancer: it loads, in the documented order, with its defaults, and serves."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from gateway_balancing import LeastConnections, RoundRobin

from gateway import App
from gateway.config.loader import installed_profiles, load, read_profile
from gateway.testing import reply, wait_until

PACKAGE = Path(__file__).parents[2] / "profiles" / "l7-balancer"
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
ORDER = ["access-log", "request-id", "tls", "health", "headers", "persistence", "balancing", "discovery"]


@pytest.fixture
def app():
    """The profile as the command line starts it."""
    return App(load("l7-balancer", listen=["127.0.0.1:0"], upstream=["http://127.0.0.1:1", "http://127.0.0.1:2"]))


def test_it_is_announced_under_its_name():
    assert installed_profiles()["l7-balancer"].value == "gateway_profile_l7_balancer"


def test_plugins_stand_in_the_documented_order(app):
    (route,) = app.router.routes
    assert [name for name, _ in route.pipeline.plugins] == ORDER
    readme = (PACKAGE / "README.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \| ", readme, re.MULTILINE)[: len(ORDER)] == ORDER


def test_requests_and_responses_pass_them_like_an_onion(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text("""
        profile = "l7-balancer"
        upstreams.app.endpoints = ["http://127.0.0.1:1"]
        plugins.headers = { request.remove = ["a"], response.remove = ["a"] }
        [[listeners]]
        bind = "127.0.0.1:0"
    """)
    pipeline = App(load(str(site))).router.routes[0].pipeline
    assert [step.plugin for step in pipeline.on_request] == ["request-id", "headers"]
    assert [step.plugin for step in pipeline.on_response] == ["headers", "request-id"]
    assert [step.plugin for step in pipeline.on_complete] == ["access-log"]


def test_nothing_in_it_needs_a_task(app):
    pipeline = app.router.routes[0].pipeline
    phases = (
        pipeline.on_request,
        pipeline.on_response,
        pipeline.on_upstream_request,
        pipeline.on_upstream_response,
    )
    assert not any(step.is_async for phase in phases for step in phase)


def test_its_defaults_hold_for_every_upstream(app):
    upstream = app.upstreams["app"]
    assert isinstance(upstream.balancer, LeastConnections)
    assert upstream.settings.timeouts.connect == 2.0


SITE = """
profile = "l7-balancer"

[plugins]
access-log = false
request-id = { accept = "always" }

[[listeners]]
bind = "127.0.0.1:0"

[upstreams.app]
balancer = "round-robin"
endpoints = ["http://127.0.0.1:1"]
"""


def test_a_site_has_the_last_word(tmp_path):
    (tmp_path / "site.toml").write_text(SITE)
    app = App(load(str(tmp_path / "site.toml")))
    assert [name for name, _ in app.plugins] == [name for name in ORDER if name != "access-log"]
    assert isinstance(app.upstreams["app"].balancer, RoundRobin)
    assert app.upstreams["app"].settings.timeouts.connect == 2.0


def test_it_depends_on_every_plugin_that_it_lists():
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert project["name"] == "gateway-profile-l7-balancer"
    depends = {re.split(r"[<>=]", item)[0] for item in project["dependencies"]}
    assert depends == {"gateway", "gateway-security", *(f"gateway-{name}" for name in ORDER)}


SECURITY = ["ip-filter", "connection-limit", "rate-limit", "limits", "cors", "block-rules", "basic-auth", "jwt"]
SECURITY += ["forward-auth", "hide-upstream", "security-headers"]


@pytest.mark.parametrize("profile", ["l7-balancer", "reverse-proxy"])
def test_every_plugin_of_security_has_its_place_before_the_cache(profile):
    places = [use["use"] if isinstance(use, dict) else use for use in read_profile(profile, Path())["plugins"]]
    bare = [place.removesuffix("?") for place in places]
    assert set(SECURITY) <= set(bare)
    assert bare.index("request-id") < bare.index("ip-filter") < bare.index("rate-limit") < bare.index("tls")
    if "cache" in bare:
        assert max(map(bare.index, SECURITY)) < bare.index("cache")


def test_a_plugin_that_a_route_names_takes_the_place_that_is_kept_for_it(tmp_path):
    (tmp_path / "site.toml").write_text("""
        profile = "l7-balancer"
        upstreams.app.endpoints = ["http://127.0.0.1:1"]
        [[listeners]]
        bind = "127.0.0.1:0"
        [[routes]]
        upstream = "app"
        plugins.limits.methods = ["GET"]
    """)
    app = App(load(str(tmp_path / "site.toml")))
    names = [name for name, _ in app.router.routes[0].pipeline.plugins]
    assert names == [*ORDER[:2], "limits", *ORDER[2:]]
    assert [name for name, _ in app.plugins] == ORDER


def test_it_serves(gateway, origin):
    endpoints = [origin(reply(name)) for name in (b"one", b"two")]
    site = gateway(profile="l7-balancer", endpoints=endpoints)
    responses = [site.get(f"/{number}") for number in range(10)]
    assert sorted(response.body for response in responses) == [b"one"] * 5 + [b"two"] * 5
    wait_until(lambda: site.output.count("\n") == 10)
    lines = [json.loads(line) for line in site.output.splitlines()]
    assert [line["id"].encode() for line in lines] == [response.header("x-request-id") for response in responses]


def test_what_it_brings_along_costs_nothing_until_it_is_wanted(app):
    pipeline = app.router.routes[0].pipeline
    named = {hook: [step.plugin for step in steps] for hook, steps in pipeline.steps.items()}
    assert not {"headers", "persistence"} & {name for names in named.values() for name in names}
    assert named["on_attempt"] == ["health"]
    assert not app.upstreams["app"].settings.discovery


def test_a_site_turns_sessions_on_with_a_line(gateway, origin):
    apps = [origin(reply(name)) for name in (b"one", b"two", b"three")]
    site = gateway(endpoints=apps, profile="l7-balancer", plugins={"persistence": {"method": "cookie"}})
    with site.connect() as client:
        first = client.request(GET)
        cookie = first.header("set-cookie").partition(b";")[0]
        bodies = {client.request(GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n").body for _ in range(12)}
        assert bodies == {first.body}
        assert len({client.request(GET).body for _ in range(12)}) == 3
