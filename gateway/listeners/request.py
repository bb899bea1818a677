"""A Request over what Granian gives.

Owns what its scope means. Does not read bodies.
"""

from __future__ import annotations

from typing import Any

from gateway.headers import Headers, RawHeaders
from gateway.model import METHODS_WITHOUT_BODY, Request
from gateway.upstream.message import FRAMING

_new: Any = object.__new__


def read_request(scope: dict[str, Any]) -> Request:
    """A Request over a Granian scope; nothing is copied."""
    # hot: plain
    request: Request = _new(Request)
    headers = scope["headers"]
    request.headers = Headers.adopt(headers)
    request.method = method = scope.get("method", "GET")
    request.scheme = scope["scheme"]
    request.raw_path = scope["raw_path"]
    request.query = scope["query_string"]
    version = scope["http_version"]
    request.http_version = "1.0" if version == "1" else version
    request.peer, port = scope["client"]
    request.client = request.peer
    request.client_port = int(port or 0)
    request._host = None
    request.body = None
    request.has_body = version == "2" and method not in METHODS_WITHOUT_BODY
    request.length = None
    for name, value in headers:  # awaiting a body that does not exist costs a thread hop
        if name in FRAMING:
            request.has_body = value != b"0"
            if value.isdigit():
                request.length = int(value)
            break
    if version == "2":
        _join_cookies(headers)
    return request


def _join_cookies(headers: RawHeaders) -> None:
    """Make one Cookie field of several, as everything behind HTTP/2 expects it (RFC 9113 8.2.3)."""
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) > 1:
        headers[:] = [field for field in headers if field[0] != b"cookie"]
        headers.append((b"cookie", b"; ".join(cookies)))
