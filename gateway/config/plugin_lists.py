"""How a site's or a route's plugins change the list they inherit: override, add, place, keep a place, drop.

Owns the two notations (a list, a table) and their meaning. Does not know any plugin.
"""

from __future__ import annotations

from gateway.config.merge import Data, deep_merge
from gateway.config.types import kind_of, nearest
from gateway.errors import ConfigurationError


def merge_plugins(inherited: list[Data], changes: object, where: str) -> list[Data]:
    """The inherited list with the changes applied, each entry as `{use, config, where}`.

    A plugin that is already in the list keeps its place and gets the configuration merged into its own; a new
    one goes to the end (nearest to the upstream), or where `before` or `after` puts it. `false` in a table, or
    a leading `-` in a list, drops one. A trailing `?` in a list keeps a place for a plugin that is not loaded
    before somebody names it: where it stands may matter, as for who asks for a password before a cache.

    Raises ConfigurationError, also for a plugin that stands in `changes` twice: whoever wrote its settings in one
    place may not know of those in the other.
    """
    merged = list(inherited)
    for entry in _entries(changes, where):
        _apply(merged, entry)
    return merged


def without_places(plugins: list[Data]) -> list[Data]:
    """The list without the places that nobody has taken."""
    return [entry for entry in plugins if not entry.get("waits")]


def _entries(changes: object, where: str) -> list[Data]:
    if isinstance(changes, dict):
        return [_from_table(name, value, f"{where}.{name}") for name, value in changes.items()]
    if isinstance(changes, list):
        entries = [_from_list(value, f"{where}[{index}]") for index, value in enumerate(changes)]
        _refuse_repeats(entries)
        return entries
    raise ConfigurationError(f"{where}: expected a list or a table of plugins, not {kind_of(changes)}")


def _refuse_repeats(entries: list[Data]) -> None:
    named: dict[str, str] = {}
    for entry in entries:
        name, where = entry["use"], entry["where"]
        if entry.get("drop"):
            named.pop(name, None)  # it may come back after that, with settings of its own
        elif name in named:
            raise ConfigurationError(
                f"{where}: {name!r} is in this list already, at {named[name].rpartition(': ')[2]}"
                f"; name it once, with all its settings"
            )
        else:
            named[name] = where


def _from_table(name: str, value: object, where: str) -> Data:
    if isinstance(value, bool):
        return {"use": name, "config": {}, "where": where, "drop": not value}
    if isinstance(value, dict):
        return _split(name, value, where)
    raise ConfigurationError(f"{where}: expected a table of settings, true or false, not {kind_of(value)}")


def _from_list(value: object, where: str) -> Data:
    if isinstance(value, str):
        name = value.removeprefix("-").removesuffix("?")
        drops, waits = value.startswith("-"), value.endswith("?")
        return {"use": name, "config": {}, "where": where, "drop": drops, "waits": waits}
    if isinstance(value, dict) and isinstance(value.get("use"), str):
        if set(value) == {"use", "config", "where"}:
            return value  # already in its final form: a route that inherits the whole list
        return _split(value["use"], {key: item for key, item in value.items() if key != "use"}, where)
    found = "one without use" if isinstance(value, dict) else kind_of(value)
    raise ConfigurationError(f'{where}: expected "name", "./file.py:Class" or {{ use = "name", … }}, not {found}')


def _split(name: str, settings: Data, where: str) -> Data:
    config = {key: item for key, item in settings.items() if key not in ("before", "after")}
    place: Data = {key: settings[key] for key in ("before", "after") if key in settings}
    if len(place) == 2:
        raise ConfigurationError(f"{where}: before and after exclude each other")
    return {"use": name, "config": config, "where": where, **place}


def _apply(merged: list[Data], entry: Data) -> None:
    names = [item["use"] for item in merged]
    name = entry["use"]
    if entry.get("drop"):
        if name not in names:
            raise ConfigurationError(f"{entry['where']}: {name!r} is not in the list{nearest(name, names)}")
        del merged[names.index(name)]
        return
    new = {"use": name, "config": entry["config"], "where": entry["where"]}
    waits = entry.get("waits", False)
    if name in names:
        old = merged.pop(names.index(name))
        waits = waits and old.get("waits", False)
        new["config"] = deep_merge(old["config"], entry["config"])
        position = names.index(name)
        names.remove(name)
    else:
        position = len(merged)
    for key, offset in (("before", 0), ("after", 1)):
        if key in entry:
            if not isinstance(entry[key], str):
                found = kind_of(entry[key])
                raise ConfigurationError(f"{entry['where']}: {key}: expected a plugin's name, not {found}")
            if entry[key] not in names:
                raise ConfigurationError(
                    f"{entry['where']}: {key}: {entry[key]!r} is not in the list{nearest(entry[key], names)}"
                )
            position = names.index(entry[key]) + offset
    merged.insert(position, {**new, "waits": True} if waits else new)
