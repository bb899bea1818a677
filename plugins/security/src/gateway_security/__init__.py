"""Plugins that filter, limit, authenticate and hide; each in a file of its own, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway_security.basic_auth import BasicAuth
    from gateway_security.block_rules import BlockRules, Rule
    from gateway_security.connection_limit import ConnectionLimit
    from gateway_security.cors import Cors
    from gateway_security.forward_auth import ForwardAuth
    from gateway_security.hide_upstream import HideUpstream
    from gateway_security.ip_filter import IpFilter
    from gateway_security.jwt import Jwt
    from gateway_security.limits import Limits
    from gateway_security.rate_limit import RateLimit
    from gateway_security.security_headers import SecurityHeaders

__all__ = [
    "BasicAuth",
    "BlockRules",
    "ConnectionLimit",
    "Cors",
    "ForwardAuth",
    "HideUpstream",
    "IpFilter",
    "Jwt",
    "Limits",
    "RateLimit",
    "Rule",
    "SecurityHeaders",
]

_WITHIN = {"Rule": "block_rules"}
"""Names whose file is not called as they are."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file = _WITHIN.get(name) or "".join(f"_{char.lower()}" if char.isupper() else char for char in name)[1:]
    return getattr(import_module(f"{__name__}.{file}"), name)
