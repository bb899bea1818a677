"""Addresses as people write them: where a listener binds, and where an endpoint is.

Owns parsing and the message for what is none. Resolves no name and opens no socket.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

_PORT = re.compile(r"[0-9]{1,5}").fullmatch
_NAME = re.compile(r"[A-Za-z0-9._~-]+").fullmatch
_BLANK = re.compile(r"[\x00-\x20\x7f]").search


class Address(NamedTuple):
    """Where to bind or connect: a host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def excludes(self, other: Address) -> bool:
        """Whether only one of the two can be bound: every address of a family is there beside none of its own."""
        if self.path or other.path:
            return self.path == other.path
        if self.port != other.port or not self.port:
            return False
        one, two = ipaddress.ip_address(self.host), ipaddress.ip_address(other.host)
        return one.version == two.version and (one == two or one.is_unspecified or two.is_unspecified)


def parse_bind(value: object) -> object:
    """`127.0.0.1:8080`, `[::1]:8080`, `:8080` (every IPv4 address) or `unix:/run/gateway.sock`."""
    if not isinstance(value, str):
        return value
    if value.startswith("unix:"):
        if not value[5:]:
            raise ValueError("unix: wants a path, as in unix:/run/gateway.sock")
        return Address(path=value[5:])
    host, _, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    host = {"": "0.0.0.0", "*": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        port = ""
    number = int(port) if _PORT(port) else -1
    if number > 65535:
        raise ValueError(f"expected a port from 0 to 65535, not {port}")
    if not 0 <= number <= 65535:
        raise ValueError(f'expected "ADDRESS:PORT" with an IP address, or "unix:PATH", not {value!r}')
    return Address(host, number)


class EndpointURL(NamedTuple):
    """The parts of an endpoint's URL."""

    scheme: str
    address: Address

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them; the port is left out where it is the scheme's own."""
        host, port, path = self.address
        if path:
            return "localhost"
        host = f"[{host}]" if ":" in host else host
        return host if port == (443 if self.scheme == "https" else 80) else f"{host}:{port}"


def split_endpoint(url: str) -> EndpointURL:
    """`http://10.0.0.1:8000`, `https://app`, `unix:/run/app.sock`, or a bare `10.0.0.1:8000`.

    Raises ValueError that says what was expected.
    """
    if url.startswith("unix:"):
        if not url[5:]:
            raise ValueError("unix: wants a path, as in unix:/run/app.sock")
        return EndpointURL("http", Address(path=url[5:]))
    if _BLANK(url):
        raise ValueError(f"an endpoint has no blanks, as in {url!r}")
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"scheme {parts.scheme!r} is not http or https, in {url!r}")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"an endpoint is scheme, host and port only, not {url!r}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if not _is_reachable(parts.hostname) or port in (-1, 0):
        raise ValueError(f'expected "http://HOST:PORT", not {url!r}')
    return EndpointURL(
        parts.scheme, Address(parts.hostname or "", port or (443 if parts.scheme == "https" else 80))
    )


def _is_reachable(host: str | None) -> bool:
    if not host or _NAME(host):
        return bool(host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
