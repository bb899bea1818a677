"""What a plugin's class, its Config and its balancers must look like, and the mend where they do not."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, RootModel

from gateway import ConfigurationError, PluginConfig, Registry, hookimpl
from gateway.contract import check_plugin
from gateway.registry import configured


class Hooked:
    @hookimpl
    def on_request(self, exchange): ...


def refused(cls: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_plugin(cls, "plugin 'mine'")
    return str(caught.value).removeprefix("plugin 'mine': ")


def with_config(config: object) -> type:
    return type("Mine", (Hooked,), {"Config": config})


@pytest.mark.parametrize("version", ["1", 1.0, None, True])
def test_an_api_version_that_is_no_whole_number_is_told_so(version):
    assert refused(type("Mine", (Hooked,), {"api": version})) == (
        f"api is a whole number: api = 1, not {version!r}"
    )


class TestBindings:
    @pytest.mark.parametrize("bind", [staticmethod, classmethod])
    def test_a_hook_that_is_no_plain_method_is_refused(self, bind):
        def on_request(self, exchange): ...

        mend = f"on_request: a hook is a plain method; take @{bind.__name__} away and let it take (self, exchange)"
        for method in (bind(hookimpl(on_request)), hookimpl(bind(on_request)), bind(lambda self, exchange: None)):
            assert refused(type("Mine", (Hooked,), {"on_request": method})) == mend

    def test_other_methods_may_be_bound_as_they_like(self):
        class Mine(Hooked):
            @staticmethod
            def helper(): ...
            @classmethod
            def of(cls): ...

        check_plugin(Mine, "x")

    @pytest.mark.parametrize("hook", ["on_request", "on_complete", "startup"])
    def test_a_generator_is_no_hook(self, hook):
        scope: dict[str, object] = {}
        exec(f"def {hook}(self, {'app' if hook == 'startup' else 'exchange'}): yield", scope)
        assert refused(type("Mine", (), {hook: hookimpl(scope[hook])})) == (
            f"{hook} has a yield, so it is a generator and nothing of it would run"
            "; return the result, if there is one"
        )

    def test_an_asynchronous_generator_answers_nothing_and_wraps_well(self):
        class Answers:
            @hookimpl
            async def on_request(self, exchange):
                yield

        class Lists:
            @hookimpl
            def wrap_response_body(self, exchange, body):
                yield

        class Wraps:
            @hookimpl
            async def wrap_response_body(self, exchange, body):
                yield

        assert "on_request has a yield" in refused(Answers)
        assert refused(Lists).endswith("nothing of it would run; write async def")
        check_plugin(Wraps, "x")


class TestConfigs:
    def test_a_model_of_pydantics_own_is_refused(self):
        assert refused(with_config(type("Config", (BaseModel,), {}))).endswith(
            "which refuses unknown keys: class Config(PluginConfig)"
        )

    def test_a_table_within_that_passes_over_unknown_keys_is_refused(self):
        class Cookie(BaseModel):
            name: str = "a"

        class Strict(BaseModel, extra="forbid"):
            name: str = "a"

        class Names(RootModel[list[str]]): ...

        class Wrong(PluginConfig):
            cookies: dict[str, Cookie | None] = {}

        class Right(PluginConfig):
            strict: Strict = Strict()
            names: Names = Names([])

        said = "Config.cookies: Cookie passes over unknown keys: class Cookie(PluginConfig)"
        assert refused(with_config(Wrong)) == said
        check_plugin(with_config(Right), "x")

    @pytest.mark.parametrize("name", ["use", "before", "after"])
    def test_a_field_that_a_site_file_could_not_set_is_refused(self, name):
        config = type("Config", (PluginConfig,), {"__annotations__": {name: str}, name: ""})
        assert refused(with_config(config)).startswith(f"Config.{name}: {name!r} cannot be set, for it means")

    def test_a_default_that_does_not_fit_is_the_plugins_fault(self):
        class Config(PluginConfig):
            rate: int = "fast"
            name: str

        def said(settings: dict[str, object]) -> list[str]:
            with pytest.raises(ConfigurationError) as caught:
                configured(with_config(Config), settings, "site.toml: x")
            return str(caught.value).splitlines()

        own = "site.toml: x: Config.rate: its default does not fit its type: expected a whole number, not text"
        assert said({"name": "a"}) == [own]
        assert said({}) == [own, "site.toml: x: name: is missing"]
        assert said({"name": "a", "rate": "fast"}) == ["site.toml: x: rate: expected a whole number, not text"]


class TestBalancers:
    def refused(self, factory: object) -> str:
        with pytest.raises(ConfigurationError) as caught:
            Registry().add_balancer("mine", factory)
        return str(caught.value).removeprefix("balancer 'mine' of the core")

    def test_a_class_without_choose_is_refused_before_anybody_wants_it(self):
        assert self.refused(type("Mine", (), {})) == " has no method choose(self, exchange, endpoints)"

    def test_a_choice_by_yield_is_refused(self):
        class Mine:
            def choose(self, exchange, endpoints):
                yield endpoints[0]

        assert self.refused(Mine) == ": choose has a yield: return the result instead"

    def test_its_settings_are_a_plugin_config_without_the_key_that_names_it(self):
        class Mine:
            class Config(PluginConfig):
                before: str = ""
                use: str = ""

            def choose(self, exchange, endpoints): ...

        assert self.refused(Mine).startswith(": Config.use: 'use' cannot be set")
        Mine.Config = type("Config", (BaseModel,), {})
        assert "class Config(PluginConfig)" in self.refused(Mine)

    def test_a_function_that_makes_one_is_left_alone(self):
        Registry().add_balancer("mine", lambda: None)
