"""Plugins that filter, limit, authenticate and hide; each in a file of its own."""

from __future__ import annotations

from gateway_security.block_rules import BlockRules, Rule
from gateway_security.ip_filter import IpFilter

__all__ = ["BlockRules", "IpFilter", "Rule"]
