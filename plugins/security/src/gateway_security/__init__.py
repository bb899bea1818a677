"""Plugins that filter, limit, authenticate and hide; each in a file of its own."""

from __future__ import annotations

from gateway_security.basic_auth import BasicAuth
from gateway_security.block_rules import BlockRules, Rule
from gateway_security.forward_auth import ForwardAuth
from gateway_security.ip_filter import IpFilter
from gateway_security.jwt import Jwt

__all__ = ["BasicAuth", "BlockRules", "ForwardAuth", "IpFilter", "Jwt", "Rule"]
