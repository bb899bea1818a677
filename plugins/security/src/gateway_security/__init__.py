"""Plugins that filter, limit, authenticate and hide; each in a file of its own."""

from __future__ import annotations

from gateway_security.limits import Limits

__all__ = ["Limits"]
