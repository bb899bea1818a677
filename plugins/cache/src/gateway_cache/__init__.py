"""The plugin `cache`: a shared HTTP cache after RFC 9111."""

from __future__ import annotations

from gateway_cache.plugin import Cache

__all__ = ["Cache"]
