"""From files and the command line to settings: what merges, what wins, and that every mistake is one of ours."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import ConfigurationError
from gateway.config import loader
from gateway.config.loader import Source, key_path, load, merge, read_profile, read_toml

MINIMAL = """
listeners = [{ bind = "127.0.0.1:0" }]
upstreams.app = { endpoints = ["http://127.0.0.1:9"] }
"""

PROFILE = """
description = "for tests"
plugins = ["one", { use = "two", rate = 1 }]
drain_timeout = "7s"
limits = { max_body = "1MiB", max_uri = "1KiB" }

[defaults.upstream]
balancer = "first"
pool = { max_idle = 3 }

[defaults.listener]
backlog = 77
"""


def refused(data: dict[str, object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        merge(data, name="site.toml", base=Path()).settings()
    return str(caught.value)


def test_a_plugin_twice_in_one_list_of_site_or_route_is_refused_and_merging_with_the_profile_is_not(tmp_path):
    (tmp_path / "base.toml").write_text(PROFILE)
    site = {**tomllib.loads(MINIMAL), "profile": "base.toml", "plugins": ["one", {"use": "two", "rate": 2}]}
    plugins = merge(site, name="site.toml", base=tmp_path).data["plugins"]
    assert [(use["use"], use["config"]) for use in plugins] == [("one", {}), ("two", {"rate": 2})]
    for place, changed in (
        ("plugins", {"plugins": ["three", "one", "three"]}),
        ("routes[0].plugins", {"routes": [{"upstream": "app", "plugins": ["three", "one", "three"]}]}),
    ):
        with pytest.raises(ConfigurationError) as caught:
            merge({**site, **changed}, name="site.toml", base=tmp_path)
        assert str(caught.value) == (
            f"site.toml: {place}[2]: 'three' is in this list already, at {place}[0]"
            "; name it once, with all its settings"
        )


class TestFiles:
    def test_a_minimal_site_gets_a_route_to_its_one_upstream(self, source):
        settings = source(MINIMAL).settings()
        assert [(route.name, route.upstream) for route in settings.routes] == [("default", "app")]

    def test_several_upstreams_get_no_route_of_their_own(self, source):
        assert source(MINIMAL + 'upstreams.b = { endpoints = ["http://b"] }').settings().routes == ()

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(ConfigurationError, match=r"absent\.toml: no such file"):
            load(str(tmp_path / "absent.toml"))

    def test_a_file_that_is_no_toml_is_named_with_the_line(self, site):
        with pytest.raises(ConfigurationError, match=r"site\.toml: not TOML: .*line 2"):
            read_toml(site("workers = 1\nworkers = = 2"))

    def test_a_file_that_is_no_utf_8_is_named(self, tmp_path):
        (tmp_path / "site.toml").write_bytes(b'description = "caf\xe9"')
        with pytest.raises(ConfigurationError, match=r"site\.toml: not TOML"):
            read_toml(tmp_path / "site.toml")

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_toml(tmp_path)

    def test_a_file_may_have_any_name(self, tmp_path):
        path = tmp_path / "site"
        path.write_text(MINIMAL)
        assert load(str(path)).settings().listeners

    def test_relative_paths_start_at_the_folder_of_the_site_file(self, source, tmp_path, monkeypatch):
        monkeypatch.chdir("/")
        assert source(f'{MINIMAL}admin_socket = "a.sock"').settings().admin_socket == tmp_path / "a.sock"

    def test_a_source_is_plain_data_that_goes_to_the_workers(self, source):
        original = source(MINIMAL)
        assert pickle.loads(pickle.dumps(original)).settings() == original.settings()


class TestOptions:
    def test_a_profile_needs_a_listener(self, monkeypatch):
        monkeypatch.setattr(loader, "read_profile", lambda name, base, where: {})
        with pytest.raises(ConfigurationError, match="say where to listen, as in --listen"):
            load("l7-balancer", upstream=["http://a"])

    def test_a_profile_by_name_serves_what_the_command_line_says(self, monkeypatch):
        monkeypatch.setattr(loader, "read_profile", lambda name, base, where: {"plugins": ["one"]})
        source = load("l7-balancer", listen=["127.0.0.1:1"], upstream=["http://a"])
        settings = source.settings()
        assert (source.name, source.profile, settings.profile) == ("command line", "l7-balancer", "l7-balancer")
        assert [use.use for use in settings.routes[0].plugins] == ["one"]

    def test_options_of_the_command_line_win(self, site):
        path = str(site(MINIMAL + "workers = 3"))
        settings = load(
            path, listen=["127.0.0.1:1", "[::1]:2"], upstream=["http://a", "http://b"], workers=2
        ).settings()
        assert [str(listener.bind) for listener in settings.listeners] == ["127.0.0.1:1", "[::1]:2"]
        assert [endpoint.url for endpoint in settings.upstreams["app"].endpoints] == ["http://a", "http://b"]
        assert settings.workers == 2


@pytest.fixture
def profile(tmp_path):
    (tmp_path / "mine.toml").write_text(PROFILE)
    return 'profile = "./mine.toml"\n'


class TestProfiles:
    def test_a_site_lies_over_its_profile(self, source, profile):
        settings = source(f'{profile}{MINIMAL}limits.max_uri = "2KiB"').settings()
        assert (settings.drain_timeout, settings.description) == (7.0, "for tests")
        assert (settings.limits.max_body, settings.limits.max_uri) == (2**20, 2048)

    def test_what_neither_has_is_missing_in_the_site_file(self, source, profile):
        with pytest.raises(ConfigurationError, match=r"^[^ ]*site\.toml: listeners: is missing$"):
            source(profile).settings()

    def test_the_plugins_of_the_profile_come_first(self, source, profile):
        settings = source(f'{profile}plugins = ["three"]\n{MINIMAL}').settings()
        assert [use.use for use in settings.plugins] == ["one", "two", "three"]

    def test_a_route_inherits_the_plugins_of_the_site_and_changes_them_for_itself(self, source, profile):
        routes = '[[routes]]\nupstream = "app"\nplugins.two.rate = 9\nplugins.one = false\n'
        settings = source(f"{profile}{MINIMAL}{routes}").settings()
        assert [(use.use, use.config) for use in settings.routes[0].plugins] == [("two", {"rate": 9})]
        assert [(use.use, use.config) for use in settings.plugins] == [("one", {}), ("two", {"rate": 1})]

    def test_the_defaults_of_a_profile_lie_under_every_upstream_and_listener(self, source, profile):
        listeners = 'listeners = [{ bind = ":0" }, { bind = ":1", backlog = 5 }]'
        upstreams = 'upstreams.a = { endpoints = ["http://a"], pool = { queue = 4 } }'
        settings = source(f"{profile}{listeners}\n{upstreams}").settings()
        assert [listener.backlog for listener in settings.listeners] == [77, 5]
        assert (settings.upstreams["a"].pool.max_idle, settings.upstreams["a"].pool.queue) == (3, 4)

    def test_the_defaults_of_a_profile_hold_for_the_command_line(self, site, profile):
        path = str(site(profile))
        settings = load(path, listen=["127.0.0.1:1"], upstream=["http://a"]).settings()
        assert settings.listeners[0].backlog == 77
        assert settings.upstreams["app"].pool.max_idle == 3

    def test_a_profile_that_is_not_installed_is_named_with_the_nearest(self, monkeypatch):
        monkeypatch.setattr(loader, "installed_profiles", lambda: {"l7-balancer": None})
        with pytest.raises(
            ConfigurationError, match="profile 'l7-balancr' is not installed; did you mean 'l7-balancer'"
        ):
            read_profile("l7-balancr", Path())

    @pytest.mark.parametrize("value", [5, ["a"], {}])
    def test_a_profile_is_a_name_or_a_path(self, value):
        assert refused({"profile": value}).startswith("site.toml: profile: ")

    def test_an_unknown_default_is_named(self, source, profile, tmp_path):
        (tmp_path / "mine.toml").write_text("[defaults.upstrem]\nhost = 'keep'")
        with pytest.raises(ConfigurationError, match=r"defaults.*'upstrem'.*did you mean 'upstream'"):
            source(f"{profile}{MINIMAL}").settings()


class TestErrors:
    def test_every_mistake_has_a_line_with_file_and_key_path(self):
        message = refused({"listeners": [{"bind": ":0", "backlog": "x"}], "workers": 0, "drain_timeout": "soon"})
        lines = sorted(line.rpartition(": ")[0] for line in message.splitlines())
        assert lines == ["site.toml: drain_timeout", "site.toml: listeners[0].backlog", "site.toml: workers"]

    @pytest.mark.parametrize(
        ("location", "path"),
        [(("a",), "a"), (("a", 0, "b"), "a[0].b"), ((), ""), (("a", "b", 1, 2), "a.b[1][2]")],
    )
    def test_a_key_path_is_written_as_in_the_file(self, location, path):
        assert key_path(location) == path

    @pytest.mark.parametrize(
        "key", ["listeners", "upstreams", "routes", "plugins", "defaults", "limits", "profile"]
    )
    @pytest.mark.parametrize("value", [5, "x", True, [5], ["x"], {"x": 5}, {"x": {}}])
    def test_a_value_of_the_wrong_kind_is_a_configuration_error(self, key, value, site, tmp_path):
        path = tmp_path / "site.toml"
        data = {"listeners": [{"bind": ":0"}], "upstreams": {"app": {"endpoints": ["http://a"]}}, key: value}
        path.write_text("".join(f"{name} = {toml(item)}\n" for name, item in data.items()))
        for options in ({}, {"listen": [":1"], "upstream": ["http://b"], "workers": 2}):
            settles(path, options)


def toml(value: object) -> str:
    """One value of a TOML file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {toml(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def settles(path: Path, options: dict[str, object]) -> Source | None:
    """Load: settings come out, or a ConfigurationError; anything else is a traceback."""
    try:
        source = load(str(path), **options)
        source.settings()
    except ConfigurationError:
        return None
    return source


WORDS = [
    "profile", "plugins", "listeners", "upstreams", "routes", "defaults", "limits", "bind", "endpoints", "use",
    "name",
    "listener", "upstream", "before", "config", "where", "match", "path", "host", "url", "weight",
]  # fmt: skip
KEYS = st.sampled_from(WORDS)
LEAVES = st.sampled_from([0, 1, -1, 1.5, True, "", "x", "./absent.toml", ":0", "http://a", "-x", "5s"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.booleans())
@example({"defaults": 1, "listeners": [{}]}, True)
@example({"upstreams": 1}, True)
@example({"plugins": {"x": {"before": 1}}}, False)
def test_no_site_file_whatsoever_ends_in_a_traceback(tmp_path, data, has_options):
    text = "".join(f'"{key}" = {toml(value)}\n' for key, value in data.items())
    assert tomllib.loads(text) == data
    path = tmp_path / "site.toml"
    path.write_text(text)
    settles(path, {"listen": [":0"], "upstream": ["http://a"]} if has_options else {})
