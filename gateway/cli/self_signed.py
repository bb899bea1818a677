"""`--tls-self-signed`: have a plugin package make a certificate for the listeners that have none.

Owns the option's meaning. How a certificate is made is the business of who announces it.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

from gateway.config.loader import Source
from gateway.errors import ConfigurationError

GROUP = "gateway.certificates"
"""The entry-point group: `self-signed` is called with the hosts, and returns the paths of certificate and key."""


def with_self_signed(source: Source) -> Source:
    """The configuration with TLS on every listener that has none. Raises ConfigurationError."""
    listeners: Any = source.data.get("listeners", [])
    if not isinstance(listeners, list) or not all(isinstance(listener, dict) for listener in listeners):
        return source  # whoever validates it says what is wrong
    listeners = [dict(listener) for listener in listeners]
    plain = [listener for listener in listeners if "tls" not in listener]
    if plain:
        cert, key = _make(sorted({_host(str(listener.get("bind", ""))) for listener in plain} - {""}))
        for listener in plain:
            listener["tls"] = {"cert": cert, "key": key}
    return Source(
        {**source.data, "listeners": listeners}, source.name, source.base, source.profile, source.own_keys
    )


def _make(hosts: list[str]) -> tuple[str, str]:
    for entry in entry_points(group=GROUP, name="self-signed"):
        try:
            cert, key = entry.load()(hosts)
        except OSError as error:
            raise ConfigurationError(f"--tls-self-signed: {error.filename}: {error.strerror}") from None
        print(f"gateway: self-signed certificate, for curl --cacert: {cert}", file=sys.stderr, flush=True)
        return str(cert), str(key)
    raise ConfigurationError("--tls-self-signed needs a package that makes certificates: pip install gateway-tls")


def _host(bind: str) -> str:
    """The address that clients may use; none if it is a socket file, or every address."""
    host = bind.rpartition(":")[0].strip("[]")
    return "" if host in ("0.0.0.0", "::", "unix") or "/" in host else host
