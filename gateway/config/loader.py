"""From a site file or a profile's name to settings: read, merge, validate, and say clearly what is wrong.

Owns files, entry points of profiles, and the error text. Does not load plugins (`gateway.registry`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.config.merge import Data, deep_merge
from gateway.config.model import Defaults, Settings
from gateway.config.plugin_lists import merge_plugins, without_places
from gateway.config.types import kind_of, nearest
from gateway.errors import ConfigurationError

PROFILES = "gateway.profiles"
"""The entry-point group: a profile's name → the module beside whose `profile.toml` it is."""

_LINE = re.compile(r"\(at line (\d+)").search

_BEGINS_A_STATEMENT = re.compile(r"[\[\w]").match
_IS_HEADING = re.compile(r"\[{1,2}[\w .\"'/:-]+\]{0,2}\s*").fullmatch
_IS_KEY = re.compile(r"[\w.-]+\s*").fullmatch
_IS_OF_PLUGINS = re.compile(r"(?:\[+\s*(?:routes\s*\.\s*)?)?plugins\b").match
_PLUGINS_ONE_WAY = (
    '; plugins are either all in a list, as in plugins = ["./my_hook.py:AddHeader", { use = "access-log",'
    ' file = "x.log" }], or all in tables, as in plugins."./my_hook.py:AddHeader" = {} and'
    ' plugins.access-log.file = "x.log"'
)

COMMAND_LINE = "command line"
"""In the place of a site file's name."""


@dataclass(frozen=True)
class Source:
    """Merged configuration before validation, with what an error needs to name its place.

    Plain data: it goes to the workers as it is, so that all of them run what was checked.
    """

    data: Data
    name: str
    """The file, or `command line`."""
    base: str = ""
    """The folder that relative paths start from."""
    profile: str = ""
    own_keys: tuple[str, ...] = field(default=())
    """Top-level keys of the site itself; the others come from the profile."""

    def settings(self) -> Settings:
        """Validate. Raises ConfigurationError."""
        try:
            return Settings.model_validate(self.data, context={"base": self.base})
        except ValidationError as error:
            raise ConfigurationError(describe(error, self._place)) from None

    def _place(self, location: Sequence[str | int]) -> str:
        top = str(location[0]) if location else ""
        is_own = top in self.own_keys or top not in self.data or not self.profile
        return self.name if is_own else f"profile {self.profile}"


def load(
    target: str,
    *,
    listen: Sequence[str] = (),
    upstream: Sequence[str] = (),
    workers: int | None = None,
    root: str | None = None,
) -> Source:
    """A site file, or a profile by name; options of the command line come on top. Raises ConfigurationError."""
    if target.endswith(".toml") or "/" in target or Path(target).is_file():
        path = Path(target)
        site, name, base = read_toml(path), target, path.resolve().parent
    else:
        site, name, base = {"profile": target}, COMMAND_LINE, Path.cwd()
    if root is not None:
        site = _with_root(site, root, passes=bool(upstream) or "upstreams" in site)
    return _with_options(merge(site, name=name, base=base), listen, upstream, workers)


def _with_root(site: Data, root: str, *, passes: bool) -> Data:
    """The site with the plugin `static` for a folder; what is not there goes on to the upstream if it `passes`.

    A site without any upstream has a route all the same, so that the plugin is asked.
    """
    use = {"root": str(Path(root).resolve()), "missing": "pass" if passes else "404"}
    plugins = site.get("plugins", {})
    if isinstance(plugins, list):
        site = {**site, "plugins": _with_static(plugins, use)}
    elif isinstance(plugins, dict):
        given = plugins.get("static")
        site = {**site, "plugins": {**plugins, "static": {**(given if isinstance(given, dict) else {}), **use}}}
    if not passes and "routes" not in site:
        site = {**site, "routes": [{"name": "files", "respond": {"status": 404}}]}
    return site


def _with_static(plugins: list[Any], settings: Data) -> list[Any]:
    """The list with settings for the plugin `static`, at the place that it has there, or at the end."""
    for index, entry in enumerate(plugins):
        if entry == "static" or (isinstance(entry, dict) and entry.get("use") == "static"):
            given = entry if isinstance(entry, dict) else {"use": "static"}
            return [*plugins[:index], {**given, **settings}, *plugins[index + 1 :]]
    return [*plugins, {"use": "static", **settings}]


def _with_options(source: Source, listen: Sequence[str], upstream: Sequence[str], workers: int | None) -> Source:
    data, defaults = dict(source.data), source.data.get("defaults", {})
    if listen:
        data["listeners"] = [deep_merge(defaults.get("listener", {}), {"bind": bind}) for bind in listen]
    elif "listeners" not in data and source.name == COMMAND_LINE:
        raise ConfigurationError("no listener: say where to listen, as in --listen 127.0.0.1:8080")
    if not upstream and "upstreams" not in data and not data.get("routes") and source.name == COMMAND_LINE:
        raise ConfigurationError("no upstream: say where to send requests, as in --upstream http://127.0.0.1:9001")
    upstreams = data.get("upstreams", {})
    if upstream and isinstance(upstreams, dict):
        named = deep_merge(defaults.get("upstream", {}), {"endpoints": list(upstream)})
        data["upstreams"] = upstreams = {**upstreams, "app": named}
    if workers is not None:
        data["workers"] = workers
    if not data.get("routes") and isinstance(upstreams, dict) and len(upstreams) == 1:
        plugins = data.get("plugins", [])
        data["routes"] = [{"name": "default", "upstream": next(iter(upstreams)), "plugins": plugins}]
    data.pop("defaults", None)
    return Source(data, source.name, source.base, source.profile, source.own_keys)


def read_toml(path: Path) -> Data:
    """A TOML file as data. Raises ConfigurationError with the file, and the line where the syntax is wrong."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}{_line_of(path, error)}") from None


def _line_of(path: Path, error: tomllib.TOMLDecodeError) -> str:
    """The line that an error is about, and what is meant by the errors that speak of a parser's insides."""
    told = ""
    lines = path.read_text(encoding="utf-8").splitlines()
    if place := _LINE(str(error)):
        lines = lines[: int(place[1])]
        told = _beginning(lines[-1].strip())
    if "Cannot" in str(error):
        told += " (the same key stands there twice, or both as a list and as a table)"
        statement = next((line for line in reversed(lines) if _BEGINS_A_STATEMENT(line)), "")
        if _IS_OF_PLUGINS(statement):
            told += _PLUGINS_ONE_WAY
    return told


def _beginning(line: str) -> str:
    """A line as far as it can be shown: a heading, or a key without its value, which may be a secret."""
    if _IS_HEADING(line):
        return f": {line}"
    key, equals, _ = line.partition("=")
    return f": {key}= …" if equals and _IS_KEY(key) else ""


def merge(site: Data, *, name: str, base: Path) -> Source:
    """Lay a site over its profile: tables merge, the site wins; plugin lists follow `merge_plugins`."""
    profile_name = site.get("profile", "")
    if not isinstance(profile_name, str):
        raise ConfigurationError(f"{name}: profile: expected a name or a path, not {kind_of(profile_name)}")
    where = "" if name == COMMAND_LINE else f"{name}: "
    profile = read_profile(profile_name, base, where) if profile_name else {}
    data = deep_merge(
        {key: value for key, value in profile.items() if key != "plugins"},
        {key: value for key, value in site.items() if key not in ("plugins", "routes")},
    )
    plugins = merge_plugins([], profile.get("plugins", []), f"profile {profile_name}: plugins")
    plugins = merge_plugins(plugins, site.get("plugins", []), f"{name}: plugins")
    data["plugins"] = without_places(plugins)
    routes = site.get("routes", profile.get("routes", []))
    data["routes"] = _routes(routes, plugins, name) if isinstance(routes, list) else routes
    if "defaults" in data:
        validate(Defaults, data["defaults"], f"{f'profile {profile_name}' if profile else name}: defaults")
    _apply_defaults(data)
    return Source(data, name, str(base), profile_name, tuple(site))


def _routes(routes: list[Any], plugins: list[Data], name: str) -> list[Any]:
    merged: list[Any] = []
    for index, route in enumerate(routes):
        if isinstance(route, dict):
            where = f"{name}: routes[{index}].plugins"
            merged_plugins = merge_plugins(plugins, route.get("plugins", []), where)
            route = {**route, "plugins": without_places(merged_plugins)}
        merged.append(route)
    return merged


def _apply_defaults(data: Data) -> None:
    defaults = data.get("defaults", {})
    listeners, upstreams = data.get("listeners"), data.get("upstreams")
    if isinstance(listeners, list):
        data["listeners"] = [
            deep_merge(defaults.get("listener", {}), item) if isinstance(item, dict) else item for item in listeners
        ]
    if isinstance(upstreams, dict):
        data["upstreams"] = {
            key: deep_merge(defaults.get("upstream", {}), item) if isinstance(item, dict) else item
            for key, item in upstreams.items()
        }


def installed_profiles() -> dict[str, EntryPoint]:
    """Every profile that an installed package announces."""
    return {entry.name: entry for entry in sorted(entry_points(group=PROFILES), key=lambda entry: entry.name)}


def read_profile(name: str, base: Path, where: str = "") -> Data:
    """A profile's data, by name or as a path to a TOML file. Raises ConfigurationError that begins with `where`."""
    if name.endswith(".toml"):
        return read_toml(base / name)
    known = installed_profiles()
    if name not in known:
        hint = nearest(name, known)
        install = f"; is gateway-profile-{name} installed?" if not known else ""
        raise ConfigurationError(f"{where}profile {name!r} is not installed{hint}{install}")
    return tomllib.loads((files(known[name].value) / "profile.toml").read_text(encoding="utf-8"))


def describe(
    error: ValidationError, place: Any, within: Sequence[str | int] = (), defaults: frozenset[str] = frozenset()
) -> str:
    """A validation error as lines of `file: key.path: what was expected`; `within` is where the path begins.

    `defaults` are the keys whose own default is wrong, which nobody has set.
    """
    lines = []
    found = error.errors(include_url=False)
    for item in found:
        location = item["loc"]
        if item["type"] == "too_short" and any(_is_within(other["loc"], location) for other in found):
            continue  # its items were dropped for being wrong
        path = key_path((*within, *location))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "missing":
            message = "is missing"
        elif item["type"] == "too_short":
            least = item["ctx"]["min_length"]
            message = f"needs at least {least} {'entry' if least == 1 else 'entries'}"
        elif item["type"] not in ("value_error", "unknown_key"):
            message = _wrong_value(item["type"], message[:1].lower() + message[1:], item["input"])
        if location and location[0] in defaults:
            path, message = f"Config.{key_path(location)}", f"its default does not fit its type: {message}"
        lines.append(": ".join(part for part in (place(location), path, message) if part))
    return "\n".join(lines)


def _wrong_value(kind: str, message: str, value: object) -> str:
    """What is wrong with a value; it is shown only where that gives no secret away, and its kind otherwise."""
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind]}, not {kind_of(value)}"
    is_word = kind in ("literal_error", "enum")
    is_number = isinstance(value, int | float) and kind in _BOUNDS
    return f"{message}, not {value!r}" if is_word or is_number else message


_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")

_EXPECTED = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "expected a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "expected a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "expected true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), "expected a list: [ … ]"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "expected a table"),
    "string_type": "expected text in quotes",
}
"""In our words, by pydantic's type of error."""


def _is_within(location: Sequence[str | int], outer: Sequence[str | int]) -> bool:
    return len(location) > len(outer) and tuple(location[: len(outer)]) == tuple(outer)


def key_path(location: Sequence[str | int]) -> str:
    """`("listeners", 0, "bind")` → `listeners[0].bind`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def validate(
    model: type[BaseModel], data: object, where: str, base: str = "", within: Sequence[str | int] = ()
) -> BaseModel:
    """Validate a part that is not in the settings' own models, such as a plugin's configuration."""
    try:
        return model.model_validate(data, context={"base": base})
    except ValidationError as error:
        defaults = _wrong_defaults(model, data, error, base)
        raise ConfigurationError(describe(error, lambda _: where, within, defaults)) from None


def _wrong_defaults(model: type[BaseModel], data: object, error: ValidationError, base: str) -> frozenset[str]:
    """The keys of which a site says nothing and that are wrong all the same, by the fault of the model."""
    given = data if isinstance(data, dict) else {}
    wrong = _wrong_keys(error) - given.keys()
    if not wrong:
        return frozenset()
    try:
        model.model_validate({}, context={"base": base})
    except ValidationError as alone:
        return frozenset(wrong & _wrong_keys(alone))
    return frozenset()


def _wrong_keys(error: ValidationError) -> set[str]:
    found = error.errors(include_url=False)
    return {str(item["loc"][0]) for item in found if item["loc"] and item["type"] != "missing"}
