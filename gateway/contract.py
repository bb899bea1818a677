"""What a plugin's class and a strategy's methods must look like, and the mend where they do not.

Owns every check that needs no configuration. Does not find or make plugins (`gateway.registry`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, RootModel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from gateway.config.types import Model, nearest
from gateway.errors import ConfigurationError
from gateway.hooks import API_VERSION, ASYNC_HOOKS, HOOK_NAMES, PROJECT, HookSpecs

_LOOKS_LIKE_A_HOOK = re.compile(r"^(on|wrap)_[a-z_]+$").match

_BALANCER = {"choose": ("exchange", "endpoints"), "ended": ("attempt",)}
"""What the methods of a balancer are called with; only `choose` has to be there."""


def check_plugin(cls: object, place: str) -> None:
    """Raise ConfigurationError unless a class keeps the plugin contract; the message names the mend."""
    if not isinstance(cls, type):
        raise ConfigurationError(f"{place}: a plugin is a class, not {cls!r}")
    version = getattr(cls, "api", API_VERSION)
    if not isinstance(version, int) or isinstance(version, bool):
        raise ConfigurationError(f"{place}: api is a whole number: api = {API_VERSION}, not {version!r}")
    if version != API_VERSION:
        raise ConfigurationError(
            f"{place}: made for plugin API {version}, this gateway has API {API_VERSION}"
            f"; install a version of the plugin that fits"
        )
    config = getattr(cls, "Config", None)
    if config is not None:
        check_config(config, place, _OF_A_PLUGINS_TABLE)
    for name in dir(cls):
        _check_binding(name, inspect.getattr_static(cls, name), place)
    methods = inspect.getmembers(cls, inspect.isfunction)
    for name, function in methods:
        _check_method(name, function, place)
    if not any(_hook_options(function) is not None for _, function in methods):
        raise ConfigurationError(f"{place}: has no hook, so it would do nothing{_mend(methods)}")


def _mend(methods: Sequence[tuple[str, Callable[..., Any]]]) -> str:
    """What to do with a plugin that has no hook."""
    public = [name for name, _ in methods if not name.startswith("_")]
    for name in public:
        meant = nearest(name, HOOK_NAMES)
        if meant.startswith("; did"):
            return f": {name} is none{meant} Put @hookimpl above it"
    has = f" (it has {', '.join(public)})" if public else ""
    return f"; name a method on_request, on_response or as another hook, and put @hookimpl above it{has}"


def _hook_options(function: object) -> dict[str, Any] | None:
    options: dict[str, Any] | None = getattr(function, f"{PROJECT}_impl", None)
    return options


def _check_binding(name: str, attribute: object, place: str) -> None:
    """Refuse a hook that is bound to nothing or to the class; pluggy would not find it, or call it wrongly."""
    if not isinstance(attribute, staticmethod | classmethod):
        return
    marked = _hook_options(attribute) or _hook_options(attribute.__func__)
    if marked is None and name not in HOOK_NAMES:
        return
    takes_what = f" and let it take ({', '.join(_wanted(name))})" if name in HOOK_NAMES else ""
    raise ConfigurationError(
        f"{place}: {name}: a hook is a plain method; take @{type(attribute).__name__} away{takes_what}"
    )


def _wanted(hook: str) -> list[str]:
    return list(inspect.signature(getattr(HookSpecs, hook)).parameters)


def _check_method(name: str, function: Callable[..., Any], place: str) -> None:
    options = _hook_options(function)
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
    wanted = _wanted(name)
    given = list(inspect.signature(function).parameters)
    if given[1:] != wanted[1:]:
        raise ConfigurationError(
            f"{place}: {name} takes ({', '.join(['self', *wanted[1:]])}), not ({', '.join(given)})"
        )
    if inspect.iscoroutinefunction(function) and name not in ASYNC_HOOKS:
        raise ConfigurationError(f"{place}: {name} is synchronous: write def, not async def")
    _check_yields(name, function, place)


def _check_yields(name: str, function: Callable[..., Any], place: str) -> None:
    """Refuse a hook in which a `yield` keeps everything from being run; an asynchronous iterator is what wraps."""
    if inspect.isasyncgenfunction(function) and name in _WRAPPING:
        return
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        mend = "write async def" if name in _WRAPPING else "return the result, if there is one"
        raise ConfigurationError(
            f"{place}: {name} has a yield, so it is a generator and nothing of it would run; {mend}"
        )


_WRAPPING = ("wrap_request_body", "wrap_response_body")


_OF_A_PLUGINS_TABLE = ("use", "before", "after")
_OF_A_BALANCERS_TABLE = ("use",)
"""Keys that a site file has a use for of its own where such settings stand."""


def check_config(config: object, place: str, taken: Sequence[str] = ()) -> None:
    """Raise ConfigurationError if a Config is no PluginConfig, or has a field that nobody could set.

    So is one with an annotation of what is not there. `taken` are the keys that mean something else.
    """
    if not (isinstance(config, type) and issubclass(config, Model)):
        raise ConfigurationError(
            f"{place}: Config must be a subclass of gateway.PluginConfig, which refuses unknown keys"
            f": class Config(PluginConfig)"
        )
    _check_annotations(config, place)
    for name, field in config.model_fields.items():
        if (field.alias or name) in taken:
            raise ConfigurationError(
                f"{place}: Config.{name}: {field.alias or name!r} cannot be set, for it means something else in"
                f" this table of a site file; give the setting another name"
            )
        for model in _models_in(field.annotation):
            if not issubclass(model, Model | RootModel) and model.model_config.get("extra") != "forbid":
                raise ConfigurationError(
                    f"{place}: Config.{name}: {model.__name__} passes over unknown keys"
                    f": class {model.__name__}(PluginConfig)"
                )


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The models that the values of a field may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _check_annotations(config: type[BaseModel], place: str) -> None:
    try:
        config.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        missing = re.compile(rf"\b{re.escape(str(error.name))}\b")
        fields = [name for name, text in _annotations(config) if missing.search(text)]
        where = f"Config.{fields[0]}" if fields else "Config"
        raise ConfigurationError(
            f"{place}: {where}: {error.name!r} is not defined; import it, or define it, at the top of the file"
        ) from None
    except PydanticUserError as error:
        raise ConfigurationError(f"{place}: Config: {' '.join(error.message.split())}") from None


def _annotations(config: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for cls in config.__mro__:
        for name, annotation in vars(cls).get("__annotations__", {}).items():
            yield name, str(annotation)


def takes(function: Callable[..., Any], *arguments: object) -> bool:
    """Whether something can be called with so many arguments, as far as it tells."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        return True  # written in C
    return True


def check_balancer_class(factory: object, place: str) -> None:
    """Raise ConfigurationError unless a balancer's class has the methods of one; a function is left alone."""
    if not isinstance(factory, type):
        return
    if (config := getattr(factory, "Config", None)) is not None:
        check_config(config, place, _OF_A_BALANCERS_TABLE)
    if not hasattr(factory, "choose"):
        raise ConfigurationError(f"{place} has no method {_signature('choose')}")
    for name, wanted in _BALANCER.items():
        method = inspect.getattr_static(factory, name, None)
        if inspect.isfunction(method):
            _check_strategy_method(method, name, ("self", *wanted), place)


def check_balancer(balancer: object, place: str) -> None:
    """Raise ConfigurationError unless what a factory made has the methods of a balancer."""
    for name, wanted in _BALANCER.items():
        method = getattr(balancer, name, None)
        if method is None and name != "choose":
            continue
        if not callable(method):
            raise ConfigurationError(f"{place} has no method {_signature(name)}")
        if inspect.ismethod(method):
            _check_strategy_method(method.__func__, name, ("self", *wanted), place)
        else:
            _check_strategy_method(method, name, wanted, place)


def _signature(name: str) -> str:
    return f"{name}({', '.join(('self', *_BALANCER[name]))})"


def _check_strategy_method(method: Callable[..., Any], name: str, wanted: tuple[str, ...], place: str) -> None:
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise ConfigurationError(f"{place}: {name} is synchronous: write def, not async def")
    if inspect.isgeneratorfunction(method):
        raise ConfigurationError(f"{place}: {name} has a yield: return the result instead")
    if not takes(method, *wanted):
        given = ", ".join(inspect.signature(method).parameters)
        raise ConfigurationError(f"{place}: {name} takes ({', '.join(wanted)}), not ({given})")
