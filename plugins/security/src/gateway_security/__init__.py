"""Plugins that filter, limit, authenticate and hide; each in a file of its own."""

from __future__ import annotations

from gateway_security.cors import Cors
from gateway_security.hide_upstream import HideUpstream
from gateway_security.security_headers import SecurityHeaders

__all__ = ["Cors", "HideUpstream", "SecurityHeaders"]
