"""What every installed plugin keeps, wherever it comes from."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import orjson
import pytest
from pydantic import BaseModel

from gateway import ConfigurationError, PluginConfig
from gateway.config.describing import describe
from gateway.hooks import API_VERSION, HOOK_NAMES
from gateway.registry import check_plugin


def test_it_keeps_the_contract_of_plugins(plugin_name, plugin_class):
    check_plugin(plugin_class, plugin_name)
    assert plugin_class.api == API_VERSION


def test_its_name_is_one_that_configurations_can_have(plugin_name):
    assert plugin_name == plugin_name.lower()
    assert plugin_name.replace("-", "").isalnum()


def test_it_has_hooks_and_each_of_them_is_documented(plugin_class):
    hooks = [name for name in HOOK_NAMES if hasattr(plugin_class, name)]
    assert hooks
    assert inspect.getdoc(plugin_class)
    for name in hooks:
        assert vars(plugin_class)[name].__doc__, name


def test_its_configuration_is_documented_field_by_field(plugin_class, configs):
    for place, model in configs(plugin_class):
        describe(model)
        for inner in [model, *models_in(model)]:
            assert issubclass(inner, PluginConfig), place
            assert inner.__doc__, place
            for name, field in inner.model_fields.items():
                assert field.description, f"{place}: {name}"
                assert field.description.endswith((".", ")")), f"{place}: {name}"


def test_its_configuration_can_be_printed_as_json_schema(plugin_class, configs):
    for _, model in configs(plugin_class):
        assert orjson.dumps(model.model_json_schema())


def test_an_unknown_key_is_refused(plugin_class, configs):
    for _, model in configs(plugin_class):
        with pytest.raises(ValueError, match="unknown key 'no-such-key'"):
            model.model_validate({"no-such-key": 1})


def test_a_class_that_breaks_the_contract_is_found():
    class Wrong:
        def on_request(self, exchange: object) -> None: ...

    with pytest.raises(ConfigurationError, match="no @hookimpl"):
        check_plugin(Wrong, "a test")


def models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models within a model."""
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield field.annotation
            yield from models_in(field.annotation)
