"""How one table of configuration is laid over another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Data: TypeAlias = dict[str, Any]
"""A TOML table."""


def deep_merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Data:
    """Tables merge key by key; anything else of `over` replaces what is `under`."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = deep_merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
