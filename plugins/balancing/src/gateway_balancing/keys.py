"""The key of an exchange: what the setting `key` names, compiled once to a function.

Owns the forms of a key and where each is found in a request. Does not hash and does not choose.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from gateway import Exchange, Headers

Key: TypeAlias = Callable[[Exchange], bytes | None]
"""The key of an exchange, or None. What is empty is no key: all who lack one would share an endpoint."""

FORMS = '"source", "header:NAME", "cookie:NAME", "query:NAME", "path" or "uri"'


def key_function(key: str) -> Key:
    """The function that a setting such as `header:x-user` means. Raises ValueError that names what is allowed."""
    kind, _, name = key.partition(":")
    if key in _WHOLE:
        return _WHOLE[key]
    if kind in _NAMED and name:
        return _NAMED[kind](name)
    raise ValueError(f"expected {FORMS}, not {key!r}")


def client_address(exchange: Exchange) -> bytes | None:
    """The address as text; a client on a Unix socket has none."""
    # hot: l7-balancer
    return exchange.request.client.encode() or None


def _path(exchange: Exchange) -> bytes | None:
    return exchange.request.raw_path or None


def _uri(exchange: Exchange) -> bytes | None:
    return exchange.request.target or None


def _header(name: str) -> Key:
    wanted = _token(name).lower()

    def header(exchange: Exchange) -> bytes | None:
        # hot: l7-balancer
        for field, value in exchange.request.headers.raw:
            if field == wanted:
                return value or None
        return None

    return header


def _cookie(name: str) -> Key:
    find = re.compile(rb"(?:^|;)[ \t]*" + re.escape(_token(name)) + rb"=[ \t]*([^;]*)").search

    def cookie(exchange: Exchange) -> bytes | None:
        # hot: l7-balancer
        for field, value in exchange.request.headers.raw:
            if field == b"cookie":
                match = find(value)
                if match is not None:
                    return match[1].rstrip(b" \t") or None
        return None

    return cookie


def _query(name: str) -> Key:
    find = re.compile(b"(?:^|&)" + re.escape(name.encode()) + b"=([^&]*)").search

    def query(exchange: Exchange) -> bytes | None:
        # hot: l7-balancer
        match = find(exchange.request.query)
        if match is None:
            return None
        return unquote_to_bytes(match[1].replace(b"+", b" ")) or None

    return query


def _token(name: str) -> bytes:
    """A name that a header or a cookie may have (RFC 9110 5.6.2). Raises ValueError."""
    Headers().add(name, "")
    return name.encode()


_WHOLE: dict[str, Key] = {"source": client_address, "path": _path, "uri": _uri}
_NAMED: dict[str, Callable[[str], Key]] = {"header": _header, "cookie": _cookie, "query": _query}
