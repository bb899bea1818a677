"""Plugins that filter, limit, authenticate and hide; each in a file of its own."""

from __future__ import annotations

__all__: list[str] = []
