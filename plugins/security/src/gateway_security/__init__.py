"""Plugins that filter, limit, authenticate and hide; each in a file of its own."""

from __future__ import annotations

from gateway_security.connection_limit import ConnectionLimit
from gateway_security.rate_limit import RateLimit

__all__ = ["ConnectionLimit", "RateLimit"]
