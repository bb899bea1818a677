"""Refuse requests that no gateway may pass on, and know the client's real address.

Owns the checks of http-rules that Granian leaves to us. Each refusal is a ClientError with its status.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TypeAlias

from gateway.config.model import Limits
from gateway.errors import ClientError
from gateway.model import Request

Networks: TypeAlias = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_HOST = re.compile(
    rb"(?:[A-Za-z0-9!$&'()*+,;=._~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
).fullmatch  # RFC 3986 3.2.2: reg-name or IP-literal, and a port
_REFUSED_METHODS = frozenset(("CONNECT", "TRACE"))


def check(request: Request, limits: Limits) -> None:
    """Raise ClientError for what may not be passed on."""
    # hot: plain
    if request.method in _REFUSED_METHODS:
        raise ClientError(f"method {request.method} is not served", status=405)
    if not request.raw_path.startswith(b"/") and not (request.raw_path == b"*" and request.method == "OPTIONS"):
        raise ClientError("the request target is no path")
    if limits.max_uri and len(request.raw_path) + len(request.query) >= limits.max_uri:
        raise ClientError(f"URI over the limit of {limits.max_uri} bytes", status=414)
    _check_fields(request, limits)


def _check_fields(request: Request, limits: Limits) -> None:
    # hot: plain
    host: bytes | None = None
    length = b""
    size = 0
    for name, value in request.headers.raw:
        size += len(name) + len(value) + 4
        if name == b"host":
            if host is not None:
                raise ClientError("more than one Host")
            host = value
        elif name == b"content-length":
            length = value
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise ClientError("a transfer coding other than chunked", status=501)
    if limits.max_header and size > limits.max_header:
        raise ClientError(f"header fields over the limit of {limits.max_header} bytes", status=431)
    if host is None or not is_host(host):
        raise ClientError("Host is missing, empty or malformed")
    if length and limits.max_body and int(length) > limits.max_body:
        raise ClientError(f"body over the limit of {limits.max_body} bytes", status=413)


@lru_cache(maxsize=4096)
def is_host(value: bytes) -> bool:
    """Whether a Host field names a host, and a port that exists."""
    if not _HOST(value):
        return False
    _, colon, port = value.rpartition(b":")
    return not (colon and port.isdigit()) or int(port) <= 65535


class TrustedProxies:
    """Which peers may tell who the client is."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self.is_empty = not networks
        self._contains = lru_cache(maxsize=65536)(self._look_up)

    def __contains__(self, peer: str) -> bool:
        return not self.is_empty and self._contains(peer)

    def _look_up(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def client_of(self, request: Request) -> str:
        """The last address of the chain that no trusted proxy has; the peer if it is not trusted itself."""
        client = request.peer
        if client not in self:
            return client
        values = request.headers.get_all(b"x-forwarded-for")
        chain = b",".join(values).decode("latin-1").split(",") if values else []
        for hop in reversed(chain):
            address = hop.strip()
            try:
                ipaddress.ip_address(address)
            except ValueError:
                return client
            client = address
            if client not in self:
                return client
        return client
