"""Write a site file from Python values, so that a test says only what it is about.

Owns the few defaults that suit tests: one worker, one listener on a free port, a short drain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from gateway.testing.origin import Origin

DEFAULTS: Mapping[str, object] = {
    "workers": 1,
    "drain_timeout": "5s",
    "listeners": [{"bind": "127.0.0.1:0"}],
}


def site_text(endpoints: Sequence[str | Origin] = (), **settings: object) -> str:
    """The text of a site file: `endpoints` become the upstream `app`, `settings` are top-level keys.

    >>> print(site_text(["http://127.0.0.1:9001"], workers=2))
    workers = 2
    drain_timeout = "5s"
    listeners = [{bind = "127.0.0.1:0"}]
    upstreams = {app = {endpoints = ["http://127.0.0.1:9001"]}}
    """
    values = {**DEFAULTS, **settings}
    if endpoints:
        values["upstreams"] = {"app": {"endpoints": list(endpoints)}}
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())


def toml_value(value: object) -> str:
    """One value as inline TOML."""
    if isinstance(value, Origin):
        return toml_value(value.url)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
