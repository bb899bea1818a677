"""A configuration model as a Markdown table: key, type, default, meaning.

Owns how types and values are written for people. Pure: it reads a model and returns text.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from gateway.config.describing import describe
from gateway.config.types import Duration, Network, Secret, Size

_HEAD = ("Key", "Type", "Default", "Meaning")
_SCALARS = {str: "string", bool: "true or false", int: "integer", float: "number", Path: "path", Any: "anything"}
_KNOWN = ((Duration, "duration"), (Size, "size"), (Secret, "secret"), (Network, "network"))
_NOUNS = re.compile(r"\b(string|integer|number|path|duration|size|secret|network)\b")
_DURATIONS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def config_table(model: type[BaseModel], places: Mapping[type[BaseModel], str] | None = None) -> str:
    """The table of a model's fields; those of a model within it stand under their dotted keys.

    `places` are links to models that have a table of their own: these get one row that leads there.
    """
    describe(model)
    rows = [_HEAD, ("---",) * len(_HEAD), *_rows(model, "", places or {})]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _rows(
    model: type[BaseModel], prefix: str, places: Mapping[type[BaseModel], str]
) -> Iterator[tuple[str, str, str, str]]:
    hints = get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        key, hint = f"{prefix}{field.alias or name}", hints[name]
        inner, path = _model_in(hint)
        if inner is None:
            yield f"`{key}`", type_name(hint), _default(hint, field), _one_line(field.description)
        elif inner in places:
            default = _default(hint, field) if field.is_required() or field.default is None else ""
            meaning = field.description or (inspect.getdoc(inner) or "").partition("\n\n")[0]
            yield f"`{key}`", f"[{_TABLES[path]}]({places[inner]})", default, _one_line(meaning)
        else:
            yield from _rows(inner, f"{key}{path}.", places)


_TABLES = {"": "table", "[]": "list of tables", ".NAME": "tables by name"}
"""What a row that leads to another table calls it, by the path to that one."""


def _model_in(hint: Any) -> tuple[type[BaseModel] | None, str]:
    """The model that a type holds, and how a key leads there: nothing, `[]` in a list, `.NAME` in a table."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint, ""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _model_in(arguments[0])
    if origin in (Union, types.UnionType):
        found = [_model_in(argument) for argument in arguments if argument is not type(None)]
        return found[0] if len(found) == 1 else (None, "")
    if origin in (list, tuple):
        inner, path = _model_in(arguments[0])
        return inner, f"[]{path}"
    if origin is dict:
        inner, path = _model_in(arguments[1])
        return inner, f".NAME{path}"
    return None, ""


def type_name(hint: Any) -> str:
    """A type as an operator would call it: `duration`, `list of strings`, `"a" or "b"`."""
    for known, name in _KNOWN:
        if hint == known or _is_part(known, hint):
            return name
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin is Literal:
        return _either(f"`{_value(item)}`" for item in arguments)
    if origin in (Union, types.UnionType):
        return _either(type_name(item) for item in arguments if item is not type(None))
    if origin in (list, tuple, frozenset, set):
        return f"list of {_plural(type_name(arguments[0]))}"
    if origin is dict:
        return "table" if arguments[1] is Any else f"table of {_plural(type_name(arguments[1]))}"
    return getattr(hint, "__name__", str(hint)).lower()


def _is_part(known: Any, hint: Any) -> bool:
    """Whether a hint is a known annotated type with more put around it."""
    parts = get_args(known)[1:]
    return get_origin(hint) is Annotated and get_args(hint)[1 : 1 + len(parts)] == parts


def _either(names: Iterator[str]) -> str:
    listed = sorted(dict.fromkeys(names), key=lambda name: name == _SCALARS[bool])  # has an "or" of its own: last
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


def _plural(name: str) -> str:
    if name.startswith("list of"):
        return f"lists{name.removeprefix('list')}"
    return _NOUNS.sub(r"\1s", name)


def _default(hint: Any, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "computed"
    value = field.default
    if value is None:
        return "none"
    name = type_name(hint)
    if isinstance(value, SecretStr):
        return "`…`"
    if name.startswith("duration") and isinstance(value, int | float):
        return f'`"{_in_units(value, _DURATIONS, "s")}"`'
    if name.startswith("size") and isinstance(value, int):
        return f'`"{_in_units(value, _SIZES, "B")}"`'
    return f"`{_value(value)}`"


def _in_units(value: float, units: tuple[tuple[int, str], ...], smallest: str) -> str:
    for size, unit in units:
        if value and value % size == 0:
            return f"{int(value // size)}{unit}"
    if smallest == "s" and 0 < value < 1:
        return f"{value * 1000:g}ms"
    return f"{value:g}{smallest}"


def _value(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        items = ", ".join(f"{key} = {_value(item)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, str | Path):
        return f"'{value}'" if '"' in str(value) else f'"{value}"'
    return orjson.dumps(value, default=str).decode()


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
