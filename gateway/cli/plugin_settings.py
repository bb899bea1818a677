"""What `gateway check` shows of the plugins' settings: those that the profile and the site have set.

Owns the choice, and that no secret is among them. Does not print.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from gateway.app import App
from gateway.config.merge import Data

_IS_SECRET = re.compile(r"secret|token|passw|passphrase|credential|authorization|api[-_]?key", re.IGNORECASE).search
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/\s]+(?=@)")

MASK = "**********"
"""What pydantic shows of a SecretStr."""


def settings_in_force(app: App) -> Data:
    """The settings by plugin, in the order of the list; of a route those of the plugins that only it has so."""
    shown = _of_plugins(app, app.plugins)
    everywhere = {id(plugin) for _, plugin in app.plugins}
    for route in app.router.routes:
        own = [(name, plugin) for name, plugin in route.pipeline.plugins if id(plugin) not in everywhere]
        if settings := _of_plugins(app, own):
            shown[f"route {route.name}"] = settings
    return shown


def _of_plugins(app: App, plugins: Iterable[tuple[str, object]]) -> Data:
    shown = {}
    for name, plugin in plugins:
        settings = app.plugin_settings.get(id(plugin))
        if settings is not None and (given := settings.model_dump(exclude_unset=True)):
            shown[name] = plain(given)
    return shown


def plain(value: Any, name: str = "") -> Any:
    """A value as JSON has it, and without what is a secret by its type, by its name or as part of a URL."""
    if isinstance(value, dict):
        return {str(key): plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, name) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and value and _IS_SECRET(name):
        return MASK
    text = value if isinstance(value, str) else orjson.loads(orjson.dumps(value, default=str))
    return _PASSWORD_IN_URL.sub(MASK, text) if isinstance(text, str) else plain(text, name)
