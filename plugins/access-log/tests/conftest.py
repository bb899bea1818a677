"""Finished exchanges to take down."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from gateway import Exchange, Headers, Request, Response


def finished(
    target: str | bytes = "/orders?page=2", headers: dict[str, str | bytes] | None = None, **request: object
) -> Exchange:
    """A GET that took 12.4 ms and one attempt of 11.9 ms."""
    fields = headers if headers is not None else {"host": "example.com", "user-agent": "curl/8.5.0"}
    exchange = Exchange(None, Request("GET", target, Headers(fields), client="192.0.2.7", **request), "main")
    exchange.route = SimpleNamespace(name="default")
    exchange.upstream = SimpleNamespace(name="app")
    exchange.id = "3f9c4a1be0d27756"
    exchange.response = Response(200)
    exchange.bytes_sent = 5120
    exchange.started, exchange.ended = 1000.0, 1000.01240001
    endpoint = SimpleNamespace(name="10.0.0.1:8000")
    exchange.attempts.append(SimpleNamespace(endpoint=endpoint, started=1000.0001, ended=1000.01200011))
    return exchange


@pytest.fixture
def make_exchange() -> Callable[..., Exchange]:
    """`make_exchange("/path", {"host": "a"})`."""
    return finished
