"""The tables of README files: keys, types, defaults and meanings as an operator would write them."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from gateway import Duration, FilePath, PluginConfig, Secret, Size
from gateway.cli.schema_table import config_table, type_name


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
