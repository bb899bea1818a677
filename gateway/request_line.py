"""The request line that an endpoint gets: method and target, as plugins have left them.

Owns what may stand in them (RFC 9112 3). What a client sent has been parsed; what a plugin put there has not, and a
line end in it would begin a field, or a request, of the client's making.
"""

from __future__ import annotations

import re

from gateway.errors import PluginError
from gateway.model import Exchange
from gateway.pipeline import SEE_REQUESTS, suspects

_USUAL = {
    method: method.encode() for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_ENDS_IT = re.compile(rb"[\x00-\x20\x7f]").search


def method_of(exchange: Exchange) -> bytes:
    """The method. Raises PluginError if a plugin made of it what is no token."""
    # hot: plain
    method = exchange.request.method
    usual = _USUAL.get(method)
    if usual is not None:
        return usual
    if not isinstance(method, str) or not _TOKEN(method):
        raise _unfit(exchange, f"method {method!r}", "it is a token, such as GET")
    return method.encode("ascii")


def target_of(exchange: Exchange) -> bytes:
    """Path and query. Raises PluginError if a plugin put a blank or a control character there, or no bytes."""
    # hot: plain
    path, query = exchange.forwarded_path or exchange.request.raw_path, exchange.request.query
    try:
        target = path + b"?" + query if query else path
        if not _ENDS_IT(target):
            return target
    except TypeError:
        pass
    mend = "they are percent-encoded bytes, and `exchange.rewrite(path)` encodes a path"
    raise _unfit(exchange, f"path {path!r} and query {query!r}", mend)


def _unfit(exchange: Exchange, what: str, mend: str) -> PluginError:
    return PluginError(f"{suspects(exchange, SEE_REQUESTS)} left a request with {what}: {mend}")
