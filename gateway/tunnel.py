"""Open a tunnel: choose an endpoint as `forward` does, and ask it for an upgrade instead of a response.

Knows endpoints and attempts. Does not carry messages (`listeners.websocket`) and does not know the wire.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.errors import ExchangeTimeout, GatewayError, UpstreamError
from gateway.forward import begin_attempt, end_attempt, pick
from gateway.model import Attempt, Exchange, Response
from gateway.pipeline import run
from gateway.request_line import target_of
from gateway.retrying import may_retry, pause
from gateway.upstream.websocket import WebSocketConnection, dial

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.group import Upstream


class Tunnel:
    """An open WebSocket to an endpoint and the attempt that it is: both last until `close`."""

    __slots__ = ("_attempt", "_exchange", "_is_open", "connection")

    def __init__(self, exchange: Exchange, attempt: Attempt, connection: WebSocketConnection) -> None:
        self.connection = connection
        self._exchange = exchange
        self._attempt = attempt
        self._is_open = True

    @property
    def endpoint(self) -> Endpoint:
        """Where it leads."""
        return self._attempt.endpoint

    def fail(self, error: GatewayError) -> None:
        """Cut the connection; whoever reads from it will notice."""
        self.connection.abort()

    def has_data(self) -> bool:
        """Messages are not read as a body."""
        return False

    def close(self, error: GatewayError | None = None) -> None:
        """End the attempt, and cut the connection if it is still there; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            self.connection.abort()
            end_attempt(self._exchange, self._attempt, error)

    def __repr__(self) -> str:
        return f"<Tunnel to {self.endpoint.name}: {'open' if self._is_open else 'closed'}>"


async def open_tunnel(exchange: Exchange) -> Response:
    """The upstream's answer to the upgrade; with status 101, `exchange.open_body` is the Tunnel.

    Moves to another endpoint under the rules of `forward`. Raises GatewayError.
    """
    upstream = exchange.upstream
    upstream.admit()
    total = upstream.settings.timeouts.total
    try:
        async with asyncio.timeout(total or None):
            return await _open(exchange, upstream)
    except TimeoutError:
        raise ExchangeTimeout(f"no answer to the upgrade within {total:g} s in all") from None


async def _open(exchange: Exchange, upstream: Upstream) -> Response:
    failed: list[Endpoint] = []
    while True:
        endpoint = pick(exchange, upstream, failed)
        try:
            return await _attempt(exchange, upstream, endpoint)
        except UpstreamError as error:
            if not may_retry(exchange, upstream, error, None, failed, endpoint):
                raise
            failed.append(endpoint)
            await pause(upstream, len(failed))


async def _attempt(exchange: Exchange, upstream: Upstream, endpoint: Endpoint) -> Response:
    pipeline = exchange.route.pipeline
    attempt = begin_attempt(exchange, upstream, endpoint)
    try:
        if pipeline.on_upstream_request:
            await run(pipeline.on_upstream_request, exchange, attempt, "on_upstream_request", len(pipeline.plugins))
        answer = await dial(endpoint.pool, target_of(exchange), attempt.headers.raw)
    except BaseException as error:
        end_attempt(exchange, attempt, error if isinstance(error, GatewayError) else None)
        raise
    attempt.status = answer.status
    if answer.connection is None:
        end_attempt(exchange, attempt, None)
    else:
        attempt.answered = time.monotonic()
        exchange.open_body = Tunnel(exchange, attempt, answer.connection)
    return Response.adopt(answer.status, answer.headers, answer.body)
