"""Plugins are found by name or by file, checked before they are used, and strategies have one owner each."""

from __future__ import annotations

import os
import sys
import textwrap

import pytest

from gateway import ConfigurationError, Exchange, PluginConfig, Registry, StateKey, hookimpl
from gateway.config.loader import Source
from gateway.config.model import Choice, PluginUse
from gateway.registry import PluginLoader, check_plugin, configured, installed_plugins, plugin_name

HOOKED = """
    from gateway import PluginConfig, StateKey, hookimpl

    KEY = StateKey("key")

    class Writes:
        key = KEY
        @hookimpl
        def on_request(self, exchange): ...

    class Reads:
        key = KEY
        class Config(PluginConfig):
            rate: int = 5
        def __init__(self, config):
            self.config = config
        @hookimpl
        def on_request(self, exchange): ...
"""

HOOK = """
    @hookimpl
    def on_request(self, exchange): ...
"""
"""What a class needs to be a plugin."""


@pytest.fixture
def loader(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(HOOKED))
    return PluginLoader(str(tmp_path))


def use(name: str, **config: object) -> PluginUse:
    return PluginUse(use=name, config=config, where="site.toml: plugins[0]")


class Hooked:
    @hookimpl
    def on_request(self, exchange): ...


def refused(cls: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_plugin(cls, "plugin 'mine'")
    assert str(caught.value).startswith("plugin 'mine': ")
    return str(caught.value)


class TestLocalFiles:
    def test_a_class_of_a_file_beside_the_site_file_is_loaded(self, loader):
        ((name, plugin),) = loader.instances([use("./mine.py:Writes")])
        assert name == "Writes"
        assert type(plugin).__name__ == "Writes"

    def test_the_plugins_of_one_file_share_its_names(self, loader):
        (_, writes), (_, reads) = loader.instances([use("./mine.py:Writes"), use("./mine.py:Reads")])
        assert isinstance(writes.key, StateKey)
        assert writes.key is reads.key

    def test_equal_configurations_share_one_instance_and_others_do_not(self, loader):
        uses = [use("./mine.py:Reads", rate=rate) for rate in (1, 2, 1)]
        one, two, again = (plugin for _, plugin in loader.instances(uses))
        assert one is again
        assert (one.config.rate, two.config.rate) == (1, 2)

    def test_every_loader_runs_the_file_anew(self, loader, tmp_path):
        ((_, before),) = loader.instances([use("./mine.py:Writes")])
        ((_, after),) = PluginLoader(str(tmp_path)).instances([use("./mine.py:Writes")])
        assert type(before) is not type(after)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("./absent.py:A", "no such file"),
            ("./mine.py:Write", "has no class 'Write'; did you mean 'Writes'?"),
            ("./mine.py:KEY", "has no class 'KEY'"),
            ("./broken.py:A", "cannot be imported: broken.py line 1: SyntaxError: expected ':'"),
            ("./raising.py:A", "cannot be imported: raising.py line 1: ZeroDivisionError: division by zero"),
        ],
    )
    def test_a_file_that_does_not_do_is_named_with_the_place_that_wants_it(self, loader, tmp_path, name, said):
        (tmp_path / "broken.py").write_text("class A")
        (tmp_path / "raising.py").write_text("1 / 0")
        with pytest.raises(ConfigurationError) as caught:
            loader.instances([use(name)])
        message = str(caught.value)
        assert message.startswith("site.toml: plugins[0]: ")
        assert name.removeprefix("./").partition(":")[0] in message
        assert said in message

    def test_a_plugin_is_called_by_its_class_or_its_entry_point(self):
        assert plugin_name("./a/b.py:AddHeader") == "AddHeader"
        assert plugin_name("headers") == "headers"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution: `installed("gateway-mine", "mine", "mine_module:Mine", source)`."""

    def install(distribution: str, name: str, place: str, text: str) -> None:
        folder = tmp_path / f"{distribution}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[gateway.plugins]\n{name} = {place}\n")
        (tmp_path / f"{place.partition(':')[0]}.py").write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


class TestEntryPoints:
    def test_an_installed_plugin_is_found_by_its_name(self, installed):
        installed(
            "gateway-found", "found-here", "found_module:Found", f"from gateway import hookimpl\nclass Found:{HOOK}"
        )
        ((name, plugin),) = PluginLoader("").instances([use("found-here")])
        assert (name, type(plugin).__name__) == ("found-here", "Found")
        assert installed_plugins()["found-here"].dist.version == "1.0"

    def test_a_name_that_is_not_installed_brings_the_nearest_one(self, installed):
        installed("gateway-near", "nearby-plugin", "near_module:Near", "class Near: ...")
        with pytest.raises(ConfigurationError) as caught:
            PluginLoader("").instances([use("nearby-plugim")])
        assert str(caught.value) == (
            "site.toml: plugins[0]: plugin 'nearby-plugim' is not installed; did you mean 'nearby-plugin'?"
        )

    @pytest.mark.parametrize("text", ["1 / 0", "import absent_package"])
    def test_a_package_that_cannot_be_imported_is_named(self, installed, text):
        module = f"bad_module_{len(text)}"
        installed("gateway-bad", "bad", f"{module}:Bad", text)
        with pytest.raises(
            ConfigurationError, match=rf"plugin 'bad' \({module}:Bad\) cannot be imported: {module}\.py line 1: "
        ):
            PluginLoader("").instances([use("bad")])

    def test_an_entry_point_to_a_class_that_is_not_there_is_named_with_its_package(self, installed):
        installed("gateway-renamed", "renamed", "renamed_module:Before", "class Behind: ...\nclass Below: ...")
        with pytest.raises(ConfigurationError) as caught:
            PluginLoader("").instances([use("renamed")])
        assert str(caught.value) == (
            "site.toml: plugins[0]: plugin 'renamed' (renamed_module:Before): renamed_module has no 'Before'"
            " (known: Behind, Below); the entry point 'renamed' of the package gateway-renamed is to name what is"
            " there"
        )

    def test_an_entry_point_to_a_module_alone_is_no_class(self, installed):
        installed("gateway-bare", "bare", "bare_module", "")
        with pytest.raises(ConfigurationError, match="a plugin is a class, not <module"):
            PluginLoader("").instances([use("bare")])


class TestChecks:
    @pytest.mark.parametrize(
        ("name", "mend"),
        [
            ("answer", "; name a method on_request, on_response or as another hook, and put @hookimpl above it"),
            ("request", ": request is none; did you mean 'on_request'? Put @hookimpl above it"),
            ("_on_request", "; name a method on_request"),
        ],
    )
    def test_a_class_without_a_hook_is_refused(self, name, mend):
        message = refused(type("Plain", (), {name: lambda self, exchange: None}))
        assert message.startswith(f"plugin 'mine': has no hook, so it would do nothing{mend}")
        assert message.endswith(" (it has answer)") == (name == "answer")

    def test_what_is_no_class_is_refused(self):
        assert "a plugin is a class" in refused(object())

    @pytest.mark.parametrize("version", [0, 2])
    def test_another_api_version_is_refused_and_both_are_named(self, version):
        message = refused(type("Mine", (), {"api": version}))
        assert f"plugin API {version}" in message
        assert "API 1" in message

    def test_the_present_api_version_is_accepted(self):
        check_plugin(type("Mine", (Hooked,), {"api": 1}), "x")

    def test_a_hook_that_does_not_exist_is_refused_with_the_nearest(self):
        class Mine:
            @hookimpl
            def on_requst(self, exchange): ...

        assert refused(Mine) == "plugin 'mine': on_requst is no hook; did you mean 'on_request'?"

    def test_a_hook_that_does_not_exist_is_refused_without_the_marker_too(self):
        class Mine:
            def on_respons(self, exchange, response): ...

        assert "did you mean 'on_response'?" in refused(Mine)

    def test_a_method_that_resembles_no_hook_is_left_alone(self):
        class Mine(Hooked):
            def on_monday(self): ...

        check_plugin(Mine, "x")

    def test_a_hook_named_method_without_the_marker_is_refused(self):
        class Mine:
            def on_request(self, exchange): ...

        assert (
            refused(Mine) == "plugin 'mine': on_request has a hook's name but no @hookimpl; put @hookimpl above it"
        )

    def test_an_inherited_hook_is_checked_too(self):
        class Parent:
            def on_complete(self, exchange): ...

        assert "on_complete" in refused(type("Mine", (Parent,), {}))

    def test_wrong_parameters_are_refused_and_the_right_ones_named(self):
        class Mine:
            @hookimpl
            def on_response(self, response): ...

        assert refused(Mine).endswith("on_response takes (self, exchange, response), not (self, response)")

    @pytest.mark.parametrize("name", ["on_select", "on_complete", "register"])
    def test_an_asynchronous_implementation_of_a_synchronous_hook_is_refused(self, name):
        parameters = {"on_select": "exchange, endpoints", "on_complete": "exchange", "register": "registry"}[name]
        scope: dict[str, object] = {}
        exec(f"async def {name}(self, {parameters}): ...", scope)
        assert "write def, not async def" in refused(type("Mine", (), {name: hookimpl(scope[name])}))

    def test_a_config_that_is_no_model_is_refused(self):
        assert "PluginConfig" in refused(type("Mine", (), {"Config": dict}))


class Strategy:
    class Config(PluginConfig):
        key: str = "client"

    def __init__(self, config: Config) -> None:
        self.key = config.key

    def choose(self, exchange: Exchange, endpoints):
        return endpoints[0]


class Plain:
    def choose(self, exchange: Exchange, endpoints):
        return endpoints[0]


class TestStrategies:
    def test_a_strategy_is_built_with_its_settings(self):
        registry = Registry()
        registry.add_balancer("hash", Strategy)
        assert registry.build("balancer", Choice(use="hash", key="header:x"), "w").key == "header:x"
        assert registry.names("balancer") == ["hash"]
        assert registry.kinds() == ["balancer"]

    def test_a_strategy_without_settings_takes_none(self):
        registry = Registry()
        registry.add_balancer("plain", Plain)
        assert isinstance(registry.build("balancer", Choice(use="plain"), "w"), Plain)
        with pytest.raises(ConfigurationError, match="w: Plain has no settings, but got key"):
            registry.build("balancer", Choice(use="plain", key="x"), "w")

    def test_an_unknown_strategy_is_named_with_the_nearest(self):
        registry = Registry()
        registry.add_balancer("round-robin", Plain)
        with pytest.raises(
            ConfigurationError, match="balancer 'round-robbin' is not loaded; did you mean 'round-robin'"
        ):
            registry.build("balancer", Choice(use="round-robbin"), "w")

    def test_an_unknown_setting_of_a_strategy_is_named(self):
        registry = Registry()
        registry.add_balancer("hash", Strategy)
        with pytest.raises(ConfigurationError, match=r"w: unknown key 'keyy'; did you mean 'key'\?"):
            registry.build("balancer", Choice(use="hash", keyy="x"), "w")

    def test_a_name_belongs_to_one_plugin_of_its_kind(self):
        class One:
            def register(self, registry):
                registry.add("store", "memory", Plain)

        class Two:
            def register(self, registry):
                registry.add("store", "memory", Strategy)

        registry = Registry()
        registry.add("cache", "memory", Strategy)
        registry.collect(One(), "one", "profile p: plugins[3]")
        with pytest.raises(ConfigurationError) as caught:
            registry.collect(Two(), "two", "site.toml: plugins[0]")
        assert str(caught.value) == (
            "site.toml: plugins[0]: store 'memory' is claimed by plugin 'one' (profile p: plugins[3]) and by"
            " plugin 'two': load only one of them"
        )

    def test_the_same_strategy_may_be_registered_again(self):
        registry = Registry()
        registry.add("store", "memory", Plain)
        registry.add("store", "memory", Plain)

    def test_a_table_of_upstreams_is_laid_over_what_its_plugin_says(self):
        registry, source = Registry(), Source({}, "site.toml")
        registry.add_upstream_table("health", Strategy.Config, {"key": "path"})
        assert registry.read_table("health", "app", None, source).key == "path"
        assert registry.read_table("health", "app", {"key": "host"}, source).key == "host"

    def test_what_is_wrong_in_a_table_of_upstreams_is_named_by_file_and_key(self):
        registry, source = Registry(), Source({}, "site.toml")
        registry.add_upstream_table("health", Strategy.Config, {})
        with pytest.raises(ConfigurationError, match=r"^site\.toml: upstreams\.app\.health\.key: expected text"):
            registry.read_table("health", "app", {"key": 1}, source)

    def test_a_table_of_upstreams_needs_its_plugin(self):
        source = Source({}, "site.toml")
        assert Registry().read_table("health", "app", None, source) is None
        with pytest.raises(ConfigurationError, match=r"upstreams\.app\.health: the plugin 'health' is not"):
            Registry().read_table("health", "app", {}, source)

    def test_a_table_of_upstreams_has_one_owner_and_is_one_of_those_left_to_plugins(self):
        registry = Registry()
        registry.add_upstream_table("health", Strategy.Config, {})
        with pytest.raises(ConfigurationError, match=r"is claimed by .* is said in upstreams\.NAME\.health"):
            registry.add_upstream_table("health", Strategy.Config, {})
        with pytest.raises(ConfigurationError, match="no table 'helth'; did you mean 'health'"):
            registry.add_upstream_table("helth", Strategy.Config, {})

    def test_a_plugin_whose_register_fails_is_named(self):
        class Mine:
            def register(self, registry):
                raise KeyError("x")

        with pytest.raises(
            ConfigurationError,
            match=r"plugin 'mine' failed in register: test_registry\.py line \d+: KeyError: 'x'$",
        ):
            Registry().collect(Mine(), "mine")

    def test_what_cannot_be_made_says_why(self):
        class Picky:
            class Config(PluginConfig):
                size: int = 1

            def __init__(self, config):
                raise ValueError("size must be even")

        with pytest.raises(
            ConfigurationError, match=r"w: Picky cannot be made: test_registry\.py line \d+: ValueError: size must"
        ):
            configured(Picky, {}, "w")

    def test_a_constructor_that_takes_something_else_is_named(self):
        class Greedy:
            def __init__(self, config): ...

        with pytest.raises(ConfigurationError, match="w: Greedy cannot be made: its __init__ takes settings"):
            configured(Greedy, {}, "w")


def test_a_local_file_that_changes_within_a_second_and_keeps_its_size_is_read_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "which.py"
    for number in (1, 2):
        file.write_text(f"from gateway import hookimpl\nclass Which:\n    number = {number}\n{HOOK}")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        ((_, plugin),) = PluginLoader(str(tmp_path)).instances([PluginUse(use="./which.py:Which")])
        assert plugin.number == number
    assert not (tmp_path / "__pycache__").exists()
