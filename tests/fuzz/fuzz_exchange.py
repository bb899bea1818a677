"""An exchange that has been to an endpoint, for code that looks at both sides."""

from __future__ import annotations

from types import SimpleNamespace

from fuzz_input import Fields

from gateway.config.model import EndpointSettings
from gateway.headers import Headers
from gateway.model import Attempt, Exchange, Request, Response
from gateway.upstream.endpoint import Endpoint

ENDPOINT = Endpoint(EndpointSettings(url="http://10.0.0.1:8000"))
APP = SimpleNamespace(has_trusted_proxies=False)


def proxied(asked: bytes, forwarded: bytes | None, host: bytes, fields: Fields | None = None) -> Exchange:
    """A GET for a path of a host, which a route has forwarded as another path to http://10.0.0.1:8000."""
    named = [(b"host", host)] if host else []
    request = Request("GET", asked, Headers.adopt([*named, *(fields or [])]), scheme="https", client="192.0.2.7")
    exchange = Exchange(APP, request, "main")
    exchange.forwarded_path = forwarded
    exchange.route = SimpleNamespace(name="default")
    exchange.upstream = SimpleNamespace(name="app")
    exchange.id = "3f9c4a1be0d27756"
    exchange.response = Response(200)
    exchange.attempts.append(Attempt(1, ENDPOINT, Headers({"host": "app.internal"})))
    return exchange
