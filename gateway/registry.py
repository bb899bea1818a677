"""From plugins' names to checked instances, and from strategies' names to their factories.

Owns entry points and strategies. Local files are read by `gateway.local_plugins`, checks are
`gateway.contract`. Does not order or run hooks (`gateway.pipeline`).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from gateway.config.loader import Source, key_path, validate
from gateway.config.merge import Data, deep_merge
from gateway.config.model import PLUGIN_TABLES, Choice, PluginUse
from gateway.config.types import nearest
from gateway.contract import check_balancer, check_balancer_class, check_config, check_plugin, takes
from gateway.errors import FAILURES, ConfigurationError
from gateway.failures import said
from gateway.local_plugins import from_file, refuse_bare_file

if TYPE_CHECKING:
    from gateway.upstream.balancer import Balancer

PLUGINS = "gateway.plugins"
"""The entry-point group: a plugin's name → its class."""


class Registry:
    """What plugins have registered: strategies of each kind, by name; CLI commands."""

    def __init__(self) -> None:
        self._strategies: dict[str, dict[str, tuple[Callable[..., Any], str]]] = {}
        self._tables: dict[str, tuple[type[BaseModel], Data, str]] = {}
        self._owner = self._signature = "the core"

    def add(self, kind: str, name: str, factory: Callable[..., Any]) -> None:
        """Register a strategy under a name that must be free within its kind. Raises ConfigurationError."""
        if not callable(factory):
            raise ConfigurationError(
                f"{kind} {name!r} of {self._owner}: expected a class, not {factory!r}; each use makes its own"
            )
        known = self._strategies.setdefault(kind, {})
        if name in known and known[name][0] is not factory:
            raise ConfigurationError(
                f"{kind} {name!r} is claimed by {known[name][1]} and by {self._owner}: load only one of them"
            )
        known[name] = (factory, self._signature)

    def add_balancer(self, name: str, factory: Callable[..., Balancer]) -> None:
        """Register a balancer: a class with `choose`, and a `Config` class if it has settings.

        A function that makes one will do, too. Raises ConfigurationError if the methods of a class are not those of
        `gateway.Balancer`.
        """
        check_balancer_class(factory, f"balancer {name!r} of {self._owner}")
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
        self._tables[name] = (model, under, self._signature)

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

    def find(self, kind: str, name: str) -> Callable[..., Any] | None:
        """The factory of a strategy; None if no plugin brings it."""
        found = self._strategies.get(kind, {}).get(name)
        return found[0] if found else None

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
        factory, owner = known[choice.use]
        made = configured(factory, choice.settings, where)
        if kind == "balancer":
            check_balancer(made, f"{where}: balancer {choice.use!r} of {owner}")
        return made

    def collect(self, plugin: object, name: str, where: str = "") -> None:
        """Let a plugin register what it brings. Raises ConfigurationError; `where` is the plugin named."""
        register = getattr(plugin, "register", None)
        if register is None:
            return
        place = f"{where}: " if where else ""
        self._owner = f"plugin {name!r}"
        self._signature = f"{self._owner} ({where})" if where else self._owner
        try:
            register(self)
        except ConfigurationError as error:
            raise ConfigurationError(f"{place}{error}") from error
        except FAILURES as error:
            reason = said(error, type(plugin).__module__)
            raise ConfigurationError(f"{place}plugin {name!r} failed in register: {reason}") from error
        finally:
            self._owner = self._signature = "the core"


def configured(factory: Callable[..., Any], settings: dict[str, Any], where: str, base: str = "") -> Any:
    """Call a factory with its validated `Config`, or with nothing if it has none. Raises ConfigurationError."""
    return _made(factory, _validated(factory, settings, where, base), where)


def _name_of(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__name__", None) or repr(factory)


def _validated(factory: Callable[..., Any], settings: dict[str, Any], where: str, base: str) -> BaseModel | None:
    model = getattr(factory, "Config", None)
    if model is None and settings:
        raise ConfigurationError(f"{where}: {_name_of(factory)} has no settings, but got {', '.join(settings)}")
    if model is None:
        return None
    check_config(model, where)
    return validate(model, settings, where, base)


def _made(factory: Callable[..., Any], settings: BaseModel | None, where: str) -> Any:
    arguments = () if settings is None else (settings,)
    try:
        return factory(*arguments)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    except FAILURES as error:
        reason = said(error, getattr(factory, "__module__", ""))
        if isinstance(error, TypeError) and not takes(factory, *arguments):
            reason = _TAKES_NONE if arguments else _TAKES_SETTINGS
        raise ConfigurationError(f"{where}: {_name_of(factory)} cannot be made: {reason}") from error


_TAKES_NONE = "it has a class Config, so its __init__ takes the settings: def __init__(self, config)"
_TAKES_SETTINGS = "its __init__ takes settings: describe them in a class Config(PluginConfig) inside the class"


class PluginLoader:
    """Loads the plugins of one configuration: one instance per distinct use and settings."""

    def __init__(self, base: str) -> None:
        self.registry = Registry()
        self.settings: dict[int, BaseModel] = {}
        """What each plugin was made with that has settings, by its `id()`."""
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
            place = f"{use.where}: plugin {use.use!r}"
            settings = _validated(cls, use.config, place, self._base)
            self._instances[key] = plugin = _made(cls, settings, place)
            if settings is not None:
                self.settings[id(plugin)] = settings
            self.registry.collect(plugin, plugin_name(use.use), use.where)
        return self._instances[key]

    def _class(self, use: PluginUse) -> type:
        if use.use not in self._classes:
            self._classes[use.use] = self._find(use)
        return self._classes[use.use]

    def _find(self, use: PluginUse) -> type:
        if is_local(use.use):
            cls, place = from_file(use, self._base, self._modules)
        else:
            if self._announced is None:  # asked once: it looks through every installed package
                self._announced = announced_plugins()
            cls, place = _from_package(use, self._announced, self._base)
        check_plugin(cls, f"{use.where}: {place}")
        _adopt_logger(cls.__module__)
        return cls


def _adopt_logger(module: str) -> None:
    """Tell what a plugin logs under its own name from the level on that the gateway's log has.

    As a child of our logger that of its package follows `log_level` by itself, unless it has a level of its own.
    """
    own, ours = logging.getLogger(module.partition(".")[0]), logging.getLogger("gateway")
    if own not in (ours, logging.root):
        own.parent = ours
        own.setLevel(own.level)  # forgets what was found out with the other parent


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


def _from_package(use: PluginUse, announced: dict[str, list[EntryPoint]], base: str = "") -> tuple[type, str]:
    if use.use not in announced:
        refuse_bare_file(use, base)
        raise ConfigurationError(f"{use.where}: plugin {use.use!r} is not installed{nearest(use.use, announced)}")
    claims = sorted({entry.value for entry in announced[use.use]})
    if len(claims) > 1:  # which one runs must not be left to chance
        raise ConfigurationError(
            f"{use.where}: plugin {use.use!r} is announced by two packages ({', '.join(claims)})"
            f"; uninstall one of them"
        )
    entry = announced[use.use][0]
    place, module = f"plugin {use.use!r} ({entry.value})", entry.value.partition(":")[0]
    try:
        found = importlib.import_module(module)
    except FAILURES as error:
        raise ConfigurationError(f"{use.where}: {place} cannot be imported: {said(error, module)}") from error
    return _announced_class(entry, found, f"{use.where}: {place}"), place


def _announced_class(entry: EntryPoint, module: ModuleType, place: str) -> Any:
    """What an entry point names in its module. Raises ConfigurationError if it is not there."""
    found: Any = module
    for name in filter(None, entry.value.partition(":")[2].split(".")):
        if not hasattr(found, name):
            classes = [key for key, value in vars(found).items() if isinstance(value, type)]
            package = f" of the package {entry.dist.name}" if entry.dist else ""
            raise ConfigurationError(
                f"{place}: {module.__name__} has no {name!r}{nearest(name, classes)}"
                f"; the entry point {entry.name!r}{package} is to name what is there"
            )
        found = getattr(found, name)
    return found
