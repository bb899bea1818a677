"""Refuse requests that no gateway may pass on, and know the client's real address.

Owns the checks of http-rules that Granian leaves to us. Each refusal is a ClientError with its status.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

from gateway.config.model import Limits
from gateway.errors import ClientError, MethodNotAllowed
from gateway.headers import RawHeaders
from gateway.model import Request, host_without_port

Networks: TypeAlias = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_HOST = re.compile(
    rb"(?:[A-Za-z0-9!$&'()*+,;=._~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
).fullmatch  # RFC 3986 3.2.2: reg-name or IP-literal, and a port
_REFUSED_METHODS = frozenset(("CONNECT", "TRACE"))
_LENGTH_DIGITS = 20
"""Of a Content-Length, whatever the limit. Python raises for numbers of more than 4300 digits."""


class Bounds:
    """What clients are held to. Reading a setting from its model costs ten times as much as from here."""

    # hot: plain
    __slots__ = (
        "body_rate", "body_time", "body_timeout", "max_body", "max_header", "max_uri", "send_rate", "send_timeout",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self.max_body = limits.max_body
        self.max_header = limits.max_header
        self.max_uri = limits.max_uri
        self.body_timeout = limits.body_timeout
        self.body_rate = limits.body_rate
        self.body_time = 0.0
        """Seconds that a request body may be waited for in all; a plugin may set it."""
        self.send_timeout = limits.send_timeout
        self.send_rate = limits.send_rate

    def tightened(
        self, *, max_body: int = 0, body_timeout: float = 0.0, body_rate: int = 0, body_time: float = 0.0
    ) -> Bounds:
        """The same, with a request body held to the stricter of these and those; 0 asks for nothing."""
        bounds = copy.copy(self)
        bounds.max_body = min(filter(None, (max_body, self.max_body)), default=0)
        bounds.body_timeout = min(filter(None, (body_timeout, self.body_timeout)), default=0.0)
        bounds.body_time = min(filter(None, (body_time, self.body_time)), default=0.0)
        bounds.body_rate = max(body_rate, self.body_rate)
        return bounds


def check(request: Request, limits: Limits | Bounds) -> dict[bytes, bytes]:
    """Raise ClientError for what may not be passed on; its fields by name. The request knows its host then."""
    # hot: plain. One dict and a few look-ups instead of a loop over the fields.
    if request.method in _REFUSED_METHODS:
        raise MethodNotAllowed(request.method)
    path, raw = request.raw_path, request.headers.raw
    if not path.startswith(b"/") and not (path == b"*" and request.method == "OPTIONS"):
        raise ClientError("the request target is no path")
    if limits.max_uri and len(path) + len(request.query) + bool(request.query) > limits.max_uri:
        raise ClientError(f"URI over the limit of {limits.max_uri} bytes", status=414)
    fields = dict(raw)
    host = host_name(fields.get(b"host", b""))
    if host is None:
        # RFC 9112 3.2 asks for one from 1.1 on; Granian shows an empty one where there is none.
        if fields.get(b"host") or request.http_version != "1.0":
            raise ClientError("Host is missing, empty or malformed")
        host = ""
    request._host = host
    if len(fields) != len(raw):
        _check_repeats(raw)
    if b"transfer-encoding" in fields:
        _check_coding(fields[b"transfer-encoding"])
    elif b"content-length" in fields:
        _check_length(fields[b"content-length"], limits.max_body)
    if limits.max_header and sum(map(len, chain.from_iterable(raw))) + 4 * len(raw) > limits.max_header:
        raise ClientError(f"header fields over the limit of {limits.max_header} bytes", status=431)
    return fields


def _check_repeats(raw: RawHeaders) -> None:
    names = [name for name, _ in raw]
    if names.count(b"host") > 1:
        raise ClientError("more than one Host")
    if names.count(b"transfer-encoding") > 1:
        raise ClientError("a transfer coding other than chunked", status=501)


def _check_coding(value: bytes) -> None:
    """Chunked alone is understood (RFC 9112 6.1)."""
    if value.strip().lower() != b"chunked":
        raise ClientError("a transfer coding other than chunked", status=501)


def _check_length(value: bytes, max_body: int) -> None:
    """Digits alone are a length; Granian sees to that in HTTP/1 only."""
    if not value.isdigit():
        raise ClientError("Content-Length is no number")
    if len(value) > _LENGTH_DIGITS:
        raise ClientError(f"a Content-Length of {len(value)} digits", status=413)
    if max_body and int(value) > max_body:
        raise ClientError(f"body over the limit of {max_body} bytes", status=413)


@lru_cache(maxsize=4096)
def host_name(value: bytes) -> str | None:
    """The host that a Host field names, in lower case; None if it names none, or a port that does not exist."""
    if not _HOST(value):
        return None
    _, colon, port = value.rpartition(b":")
    if colon and port.isdigit() and int(port) > 65535:
        return None
    return host_without_port(value).decode("latin-1").lower()


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
            if not _is_address(address):
                return client
            client = address
            if client not in self:
                return client
        return client


def _is_address(text: str) -> bool:
    """Whether a text is an address without a zone, in which anything may stand and which no other machine knows."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
