"""From plugins' names to checked instances, and from strategies' names to their factories.

Owns entry points, local plugin files, and every check that a plugin must pass before it is used. Does not
order or run hooks (`gateway.pipeline`).
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from gateway.config.loader import Source, key_path, validate
from gateway.config.merge import Data, deep_merge
from gateway.config.model import PLUGIN_TABLES, Choice, PluginUse
from gateway.config.types import nearest
from gateway.errors import ConfigurationError
from gateway.hooks import API_VERSION, ASYNC_HOOKS, HOOK_NAMES, PROJECT, HookSpecs

if TYPE_CHECKING:
    from gateway.upstream.balancer import Balancer

PLUGINS = "gateway.plugins"
"""The entry-point group: a plugin's name → its class."""

_LOOKS_LIKE_A_HOOK = re.compile(r"^(on|wrap)_[a-z_]+$").match


class Registry:
    """What plugins have registered: strategies of each kind, by name; CLI commands."""

    def __init__(self) -> None:
        self._strategies: dict[str, dict[str, tuple[Callable[..., Any], str]]] = {}
        self._tables: dict[str, tuple[type[BaseModel], Data, str]] = {}
        self._owner = "the core"

    def add(self, kind: str, name: str, factory: Callable[..., Any]) -> None:
        """Register a strategy under a name that must be free within its kind."""
        known = self._strategies.setdefault(kind, {})
        if name in known and known[name][0] is not factory:
            raise ConfigurationError(
                f"{kind} {name!r} is claimed by {known[name][1]} and by {self._owner}: load only one of them"
            )
        known[name] = (factory, self._owner)

    def add_balancer(self, name: str, factory: Callable[..., Balancer]) -> None:
        """Register a balancer: a class with `choose`, and a `Config` class if it has settings."""
        self.add("balancer", name, factory)

    def add_upstream_table(self, name: str, model: type[BaseModel], under: Data) -> None:
        """Own a table of every upstream, such as `[upstreams.app.health]`.

        `under` holds where an upstream says nothing else. What comes of both, checked by the model, is in
        `app.tables`. Only the tables that the core leaves to plugins can be owned.
        """
        if name not in PLUGIN_TABLES:
            raise ConfigurationError(f"upstreams have no table {name!r}{nearest(name, PLUGIN_TABLES)}")
        if name in self._tables:
            raise ConfigurationError(
                f"{name!r} of upstreams is claimed by {self._tables[name][2]} and by {self._owner}; what differs"
                f" between upstreams is said in upstreams.NAME.{name}, not in the plugins of a route"
            )
        self._tables[name] = (model, under, self._owner)

    def read_table(self, name: str, upstream: str, data: Data | None, source: Source) -> Any:
        """What a plugin's table says for an upstream; None without the plugin. Raises ConfigurationError."""
        place = ("upstreams", upstream, name)
        if name in self._tables:
            model, under, _ = self._tables[name]
            return validate(model, deep_merge(under, data or {}), source.name, source.base, place)
        if data is not None:
            raise ConfigurationError(
                f"{source.name}: {key_path(place)}: the plugin {name!r} is not in the list of plugins"
            )
        return None

    def names(self, kind: str) -> list[str]:
        """The known names of a kind."""
        return sorted(self._strategies.get(kind, {}))

    def kinds(self) -> list[str]:
        """The kinds of which there is a strategy."""
        return sorted(self._strategies)

    def build(self, kind: str, choice: Choice, where: str) -> Any:
        """Make the strategy that a configuration chose. Raises ConfigurationError."""
        known = self._strategies.get(kind, {})
        if choice.use not in known:
            raise ConfigurationError(
                f"{where}: {kind} {choice.use!r} is not loaded{nearest(choice.use, known)}"
                f"; is the plugin that provides it in the list of plugins?"
            )
        return configured(known[choice.use][0], choice.settings, where)

    def collect(self, plugin: object, name: str) -> None:
        """Let a plugin register what it brings."""
        register = getattr(plugin, "register", None)
        if register is None:
            return
        self._owner = f"plugin {name!r}"
        try:
            register(self)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(f"plugin {name!r} failed in register: {error!r}") from error
        finally:
            self._owner = "the core"


def configured(factory: Callable[..., Any], settings: dict[str, Any], where: str, base: str = "") -> Any:
    """Call a factory with its validated `Config`, or with nothing if it has none. Raises ConfigurationError."""
    model = getattr(factory, "Config", None)
    if model is None and settings:
        raise ConfigurationError(f"{where}: {factory.__name__} has no settings, but got {', '.join(settings)}")
    arguments = () if model is None else (validate(model, settings, where, base),)
    try:
        return factory(*arguments)
    except ConfigurationError:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, ValueError) else repr(error)
        if model is None and len(inspect.signature(factory).parameters):
            said = "its __init__ takes settings: describe them in a class Config(PluginConfig) inside the class"
        raise ConfigurationError(f"{where}: {factory.__name__} cannot be made: {said}") from error


class PluginLoader:
    """Loads the plugins of one configuration: one instance per distinct use and settings."""

    def __init__(self, base: str) -> None:
        self.registry = Registry()
        self._base = base
        self._classes: dict[str, type] = {}
        self._modules: dict[Path, ModuleType] = {}
        self._announced: dict[str, list[EntryPoint]] | None = None
        self._instances: dict[tuple[str, bytes], object] = {}

    def instances(self, uses: Iterable[PluginUse]) -> list[tuple[str, object]]:
        """The plugins of a list, in order, each with its name. Raises ConfigurationError."""
        return [(plugin_name(use.use), self._instance(use)) for use in uses]

    def _instance(self, use: PluginUse) -> object:
        key = (use.use, orjson.dumps(use.config, option=orjson.OPT_SORT_KEYS))
        if key not in self._instances:
            cls = self._class(use)
            plugin = configured(cls, use.config, f"{use.where}: plugin {use.use!r}", self._base)
            self._instances[key] = plugin
            self.registry.collect(plugin, plugin_name(use.use))
        return self._instances[key]

    def _class(self, use: PluginUse) -> type:
        if use.use not in self._classes:
            self._classes[use.use] = self._find(use)
        return self._classes[use.use]

    def _find(self, use: PluginUse) -> type:
        if is_local(use.use):
            cls, place = _from_file(use, self._base, self._modules)
        else:
            if self._announced is None:  # asked once: it looks through every installed package
                self._announced = announced_plugins()
            cls, place = _from_package(use, self._announced)
        check_plugin(cls, f"{use.where}: {place}")
        return cls


def plugin_name(use: str) -> str:
    """What a plugin is called in records: the entry point's name, or the class of a local file."""
    return use.rpartition(":")[2] if is_local(use) else use


def is_local(use: str) -> bool:
    """Whether a plugin is named as a file: `./my_hook.py:AddHeader`."""
    return ".py:" in use


def announced_plugins() -> dict[str, list[EntryPoint]]:
    """Every plugin that installed packages announce, by name; several entries if packages claim the same name."""
    announced: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=PLUGINS), key=lambda entry: entry.name):
        announced.setdefault(entry.name, []).append(entry)
    return announced


def installed_plugins() -> dict[str, EntryPoint]:
    """Every plugin that an installed package announces."""
    return {name: entries[0] for name, entries in announced_plugins().items()}


def find_plugin(use: PluginUse) -> type:
    """The class behind an installed plugin's name, checked. Raises ConfigurationError."""
    cls, place = _from_package(use, announced_plugins())
    check_plugin(cls, f"{use.where}: {place}")
    return cls


def _from_package(use: PluginUse, announced: dict[str, list[EntryPoint]]) -> tuple[type, str]:
    if use.use not in announced:
        raise ConfigurationError(f"{use.where}: plugin {use.use!r} is not installed{nearest(use.use, announced)}")
    claims = sorted({entry.value for entry in announced[use.use]})
    if len(claims) > 1:  # which one runs must not be left to chance
        raise ConfigurationError(
            f"{use.where}: plugin {use.use!r} is announced by two packages ({', '.join(claims)})"
            f"; uninstall one of them"
        )
    place = f"plugin {use.use!r} ({claims[0]})"
    try:
        return announced[use.use][0].load(), place
    except Exception as error:
        raise ConfigurationError(f"{use.where}: {place} cannot be imported: {_said(error)}") from error


def _from_file(use: PluginUse, base: str, modules: dict[Path, ModuleType]) -> tuple[type, str]:
    file, _, name = use.use.rpartition(":")
    path = (Path(base) / file).resolve()
    if not path.is_file():
        raise ConfigurationError(f"{use.where}: {path}: no such file")
    if path not in modules:
        modules[path] = _import_file(path, use.where)
    module = modules[path]
    cls = getattr(module, name, None)
    if not isinstance(cls, type):
        classes = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        ]
        raise ConfigurationError(f"{use.where}: {path} has no class {name!r}{nearest(name, classes)}")
    return cls, f"plugin {name!r} ({path})"


def _import_file(path: Path, where: str) -> ModuleType:
    name = f"gateway_local_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that dataclasses and pydantic find the module's names
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise ConfigurationError(f"{where}: {path} cannot be imported: {_said(error)}") from error
    return module


class _FromSource(SourceFileLoader):
    """Reads a local file as it is now. Bytecode beside it would be taken for a change made within its second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _said(error: Exception) -> str:
    """What went wrong in a file, and in which line."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name} line {last.lineno}: {type(error).__name__}: {error}"


def check_plugin(cls: object, place: str) -> None:
    """Raise ConfigurationError unless a class keeps the plugin contract; the message names the mend."""
    if not isinstance(cls, type):
        raise ConfigurationError(f"{place}: a plugin is a class, not {cls!r}")
    version = getattr(cls, "api", API_VERSION)
    if version != API_VERSION:
        raise ConfigurationError(
            f"{place}: made for plugin API {version}, this gateway has API {API_VERSION}"
            f"; install a version of the plugin that fits"
        )
    config = getattr(cls, "Config", None)
    if config is not None and not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise ConfigurationError(f"{place}: Config must be a subclass of gateway.PluginConfig")
    for name, function in inspect.getmembers(cls, inspect.isfunction):
        _check_method(name, function, place)


def _check_method(name: str, function: Callable[..., Any], place: str) -> None:
    options = getattr(function, f"{PROJECT}_impl", None)
    if options is None:
        if name in HOOK_NAMES:
            raise ConfigurationError(f"{place}: {name} has a hook's name but no @hookimpl; put @hookimpl above it")
        if _LOOKS_LIKE_A_HOOK(name) and nearest(name, HOOK_NAMES).startswith("; did"):
            raise ConfigurationError(f"{place}: {name} is no hook{nearest(name, HOOK_NAMES)}")
        return
    if name not in HOOK_NAMES:
        raise ConfigurationError(f"{place}: {name} is no hook{nearest(name, HOOK_NAMES)}")
    if options.get("hookwrapper") or options.get("wrapper"):
        raise ConfigurationError(f"{place}: {name}: hook wrappers are not supported; use a wrap_… hook")
    wanted = list(inspect.signature(getattr(HookSpecs, name)).parameters)
    given = list(inspect.signature(function).parameters)
    if given[1:] != wanted[1:]:
        raise ConfigurationError(
            f"{place}: {name} takes ({', '.join(['self', *wanted[1:]])}), not ({', '.join(given)})"
        )
    if inspect.iscoroutinefunction(function) and name not in ASYNC_HOOKS:
        raise ConfigurationError(f"{place}: {name} is synchronous: write def, not async def")
