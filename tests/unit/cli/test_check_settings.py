"""`gateway check` shows the settings of plugins that the profile and the site have set, and no secret of theirs."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from gateway.cli import main
from gateway.cli.plugin_settings import MASK, plain

SITE = """
listeners = [{ bind = "127.0.0.1:0" }]
upstreams.app = { endpoints = ["http://127.0.0.1:9"], balancer = { use = "mine", seed_token = "hunter2" } }
"""

HOOKS = """
from gateway import Duration, FilePath, Network, PluginConfig, Secret, hookimpl

class Mine:
    class Config(PluginConfig):
        seed_token: str = ""
    def __init__(self, config): ...
    def choose(self, exchange, endpoints): ...

class Cookie(PluginConfig):
    name: str = "sid"
    secure: bool = True

class A:
    class Config(PluginConfig):
        every: Duration = 5.0
        secret: Secret = ""
        token: str = ""
        store: str = ""
        nets: tuple[Network, ...] = ()
        file: FilePath = "a.txt"
        cookie: Cookie = Cookie()
    def __init__(self, config): ...
    @hookimpl
    def register(self, registry): registry.add_balancer("mine", Mine)
    @hookimpl
    def on_request(self, exchange): ...

class Silent:
    @hookimpl
    def on_request(self, exchange): ...
"""


@pytest.fixture
def shown(site, monkeypatch, tmp_path):
    """The settings of plugins that a check shows; all that it says is looked through for the secret."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooks.py").write_text(HOOKS)

    def run(text: str) -> object:
        site(SITE + text)
        result = CliRunner().invoke(main, ["check", "site.toml"])
        assert result.exit_code == 0, result.stderr
        assert "hunter2" not in result.stdout
        assert f'"seed_token": "{MASK}"' in result.stdout
        found = re.search(r"^Settings of plugins .*\n(\{.*?^\})", result.stdout, re.MULTILINE | re.DOTALL)
        return json.loads(found[1]) if found else None

    return run


def test_what_nobody_has_set_is_not_shown(shown):
    assert shown('plugins = ["./hooks.py:A", "./hooks.py:Silent"]') is None


def test_what_is_set_is_shown_as_it_is_in_force(shown, tmp_path):
    text = """
        plugins = [{ use = "./hooks.py:A", every = "1m", nets = ["10.0.0.0/8"], file = "b.txt", cookie.name = "x" }]
    """
    assert shown(text) == {
        "A": {"every": 60.0, "nets": ["10.0.0.0/8"], "file": str(tmp_path / "b.txt"), "cookie": {"name": "x"}}
    }


def test_secrets_are_known_by_their_type_their_name_and_their_place_in_a_url(shown):
    text = """
        plugins."./hooks.py:A" = { secret = "hunter2", token = "hunter2", store = "redis://me:p@hunter2@db/0" }
    """
    assert shown(text) == {"A": {"secret": MASK, "token": MASK, "store": f"redis://{MASK}@db/0"}}


def test_what_a_route_has_of_its_own_is_shown_with_the_route(shown):
    text = """
        plugins = [{ use = "./hooks.py:A", every = "1m" }]
        [[routes]]
        name = "slow"
        match.path = "/slow"
        upstream = "app"
        plugins."./hooks.py:A".every = "5m"
        [[routes]]
        upstream = "app"
    """
    assert shown(text) == {"A": {"every": 60.0}, "route slow": {"A": {"every": 300.0}}}


def test_values_of_all_kinds_are_told():
    values = {1: [None, True, 2.5], "set": {"a"}, "pattern": re.compile("a+"), "bytes": b"a", "path": Path("a")}
    assert plain(values) == {
        "1": [None, True, 2.5], "set": ["a"], "pattern": "re.compile('a+')", "bytes": "b'a'", "path": "a",
    }  # fmt: skip
    assert plain({"a": ipaddress.ip_network("10.0.0.0/8"), "b": SecretStr("x")}) == {"a": "10.0.0.0/8", "b": MASK}
    assert plain({"headers": {"authorization": "Basic x"}, "tokens": 5}) == {
        "headers": {"authorization": MASK},
        "tokens": 5,
    }
