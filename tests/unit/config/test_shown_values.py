"""An error names the place of a wrong value, and shows none that may be a secret."""

from __future__ import annotations

from datetime import date
from typing import Literal

import pytest
from pydantic import Field, ValidationError

from gateway import ConfigurationError, Duration, PluginConfig, Secret
from gateway.config.loader import read_toml, validate
from gateway.config.plugin_lists import merge_plugins
from gateway.config.types import kind_of


class Config(PluginConfig):
    token: str = ""
    secret: Secret = "x" * 8
    long: str = Field("x" * 16, min_length=16)
    named: str = Field("sk-", pattern="^sk-")
    pin: int = 0
    share: float = Field(0.0, le=1)
    mode: Literal["fast", "safe"] = "fast"
    tokens: tuple[str, ...] = ()
    by_name: dict[str, str] = {}
    sent: bool = False
    every: Duration = 1.0


def refused(**settings: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        validate(Config, settings, "site.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"token": 12345}, "token: expected text in quotes, not a number"),
        ({"token": True}, "token: expected text in quotes, not true"),
        ({"token": ["12345"]}, "token: expected text in quotes, not a list"),
        ({"token": date(2026, 1, 1)}, "token: expected text in quotes, not a date or time"),
        ({"secret": 12345}, "secret: expected text in quotes, not a number"),
        ({"secret": {"evn": "12345"}}, 'secret: expected a string, { env = "NAME" } or { file = "path" }'),
        ({"long": "12345"}, "long: string should have at least 16 characters"),
        ({"named": "12345"}, "named: string should match pattern '^sk-'"),
        ({"pin": "12345x"}, "pin: expected a whole number, not text"),
        ({"pin": 12345.5}, "pin: expected a whole number, not a fraction"),
        ({"tokens": "12345"}, "tokens: expected a list: [ … ], not text"),
        ({"tokens": [12345]}, "tokens[0]: expected text in quotes, not a number"),
        ({"by_name": ["12345"]}, "by_name: expected a table, not a list"),
        ({"sent": "12345"}, "sent: expected true or false, not text"),
    ],
)
def test_what_may_be_a_secret_is_told_by_its_kind(settings, told):
    assert refused(**settings) == f"site.toml: {told}"
    assert "12345" not in told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"mode": "quick"}, "mode: input should be 'fast' or 'safe', not 'quick'"),
        ({"share": 2.5}, "share: input should be less than or equal to 1, not 2.5"),
        ({"every": "soon"}, 'every: expected a duration such as "5s", "250ms" or "10m", not \'soon\''),
    ],
)
def test_one_word_of_a_list_a_number_and_a_duration_are_shown(settings, told):
    assert refused(**settings) == f"site.toml: {told}"


@pytest.mark.parametrize("changes", ["12345", [["12345"]], [{"token": "12345"}], {"a": "12345"}, {"a": 12345}])
def test_a_list_of_plugins_shows_no_settings(changes):
    with pytest.raises(ConfigurationError) as caught:
        merge_plugins([], changes, "site.toml: plugins")
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("token = sk-12345", "(at line 1, column 9): token = …"),
        ('[plugins\ntoken = "12345"', "(at line 1, column 9): [plugins"),
        ('tokens = [\n"12345\n]', "(at line 2, column 7)"),
    ],
)
def test_a_line_that_is_no_toml_is_shown_up_to_its_value(tmp_path, text, told):
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_toml(tmp_path / "site.toml")
    assert str(caught.value).endswith(told)


def test_a_configuration_that_a_plugin_makes_by_itself_shows_nothing_when_it_fails():
    with pytest.raises(ValidationError) as caught:
        Config(token=12345)
    assert "12345" not in str(caught.value)


def test_every_kind_of_toml_has_a_name():
    values = ("a", 1, 2.0, 0.5, True, ["a"], ("a",), {}, None, date(2026, 1, 1))
    assert [kind_of(value) for value in values] == [
        "text", "a number", "a number", "a fraction", "true", "a list", "a list", "a table", "nothing",
        "a date or time",
    ]  # fmt: skip
