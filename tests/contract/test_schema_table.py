"""The tables of README files: keys, types, defaults and meanings as an operator would write them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from gateway import Duration, FilePath, PluginConfig, Secret, Size
from gateway.cli.schema_table import config_table, type_name
from gateway.config.types import Network


class Inner(PluginConfig):
    """Within."""

    on: bool = True
    """Whether it is | on."""


class Outer(PluginConfig):
    """All there is."""

    must: str
    """One that
    has to be given."""
    wait: Duration = 90.0
    """Some time."""
    most: Size = 64 * 1024
    """Some bytes."""
    key: Secret | None = None
    """Not to be told."""
    mode: Literal["a", "b"] = "a"
    """One of two."""
    names: tuple[str, ...] = ("x", "y")
    """Some names."""
    inner: Inner = Inner()
    """Not shown itself."""
    many: dict[str, Inner] = {}
    """Not shown either."""
    row: tuple[Inner, ...] = ()
    """Nor this."""
    count: Annotated[int, Field(gt=0)] = Field(3, description="How many.")


def test_the_table_of_a_model():
    assert config_table(Outer).splitlines() == [
        "| Key | Type | Default | Meaning |",
        "| --- | --- | --- | --- |",
        "| `must` | string | required | One that has to be given. |",
        '| `wait` | duration | `"90s"` | Some time. |',
        '| `most` | size | `"64KiB"` | Some bytes. |',
        "| `key` | secret | none | Not to be told. |",
        '| `mode` | `"a"` or `"b"` | `"a"` | One of two. |',
        '| `names` | list of strings | `["x", "y"]` | Some names. |',
        "| `inner.on` | true or false | `true` | Whether it is \\| on. |",
        "| `many.NAME.on` | true or false | `true` | Whether it is \\| on. |",
        "| `row[].on` | true or false | `true` | Whether it is \\| on. |",
        "| `count` | integer | `3` | How many. |",
    ]


def test_a_model_with_a_table_of_its_own_gets_one_row():
    class Site(PluginConfig):
        inner: Inner = Inner()
        maybe: Inner | None = None
        many: dict[str, Inner] = {}
        row: tuple[Inner, ...]
        """Said here."""

    assert config_table(Site, {Inner: "#within"}).splitlines()[2:] == [
        "| `inner` | [table](#within) |  | Within. |",
        "| `maybe` | [table](#within) | none | Within. |",
        "| `many` | [tables by name](#within) |  | Within. |",
        "| `row` | [list of tables](#within) | required | Said here. |",
    ]


def test_a_default_that_depends_on_the_machine_is_not_told():
    class Sized(PluginConfig):
        workers: int = Field(default_factory=lambda: 7)

    assert config_table(Sized).splitlines()[2:] == ["| `workers` | integer | computed |  |"]


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (Duration, "duration"),
        (Annotated[Duration, Field(gt=0)], "duration"),
        (Duration | None, "duration"),
        (Size | Literal["all"], 'size or `"all"`'),
        (FilePath, "path"),
        (dict[str, tuple[str, ...]], "table of lists of strings"),
        (list[int], "list of integers"),
        (list[int | str], "list of integers or strings"),
        (tuple[Network, ...], "list of networks"),
        (dict[str, Any], "table"),
        (float, "number"),
        (int | str | bool, "integer, string or true or false"),
    ],
)
def test_the_name_of_a_type(hint, name):
    assert type_name(hint) == name


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0, "0s"), (0.25, "250ms"), (1.0, "1s"), (1.5, "1.5s"), (60.0, "1m"), (7200.0, "2h"), (86400.0, "1d")],
)
def test_a_duration_is_written_in_its_best_unit(seconds, written):
    class Timed(PluginConfig):
        wait: Duration = seconds

    assert f'`"{written}"`' in config_table(Timed)
