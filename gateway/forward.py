"""Choose where an exchange goes next, and try again when that is safe.

Knows endpoints and attempts. Does not know sockets, routes or profiles.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from gateway.errors import FAILURES, ExchangeTimeout, GatewayError, PluginError, StaleConnection, UpstreamError
from gateway.headers import Headers
from gateway.hedging import hedged, may_hedge
from gateway.light import as_task
from gateway.model import Attempt, Exchange, Response
from gateway.pipeline import SEE_REQUESTS, Pipeline, run, suspects, tell
from gateway.request_body import RequestBody, prepare_body
from gateway.request_line import method_of, target_of
from gateway.retrying import UnwantedStatus, is_harmless, may_retry, pause
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.group import Upstream
from gateway.upstream.message import outgoing_headers, request_head, without_framing

if TYPE_CHECKING:
    from gateway.upstream.http1 import Http1Connection

log = logging.getLogger("gateway.upstream")

MAX_STALE = 16
"""Kept connections that may turn out closed in one exchange, before that counts as a failure of the endpoint."""

SERVER = (b"server", b"gateway")
"""For responses without one: otherwise the server core names itself."""

NO_BODY = dict.fromkeys(("POST", "PUT", "PATCH"), b"content-length: 0\r\n")
"""A method that usually has a body says that there is none (RFC 9110 8.6)."""


def forward(exchange: Exchange) -> Awaitable[Response]:
    """The upstream's response, from the first attempt that brought one. Raises GatewayError."""
    # hot: plain. Not a coroutine itself: most exchanges need no more than the loop below.
    upstream = exchange.upstream
    try:
        upstream.admit()
    except AttributeError:
        if isinstance(upstream, Upstream):
            raise
        raise PluginError(
            f"{suspects(exchange, SEE_REQUESTS)} set exchange.upstream to {upstream!r}: it is one of app.upstreams"
        ) from None
    if exchange.request.body is not None or upstream.is_timed:
        return _forward_at_length(exchange, upstream)
    return _forward(exchange, upstream, None, [])


async def _forward_at_length(exchange: Exchange, upstream: Upstream) -> Response:
    """With a request body, a limit on the whole, or a second endpoint that may be asked meanwhile."""
    await as_task()
    total = upstream.settings.timeouts.total
    body: RequestBody | None = None
    try:
        async with asyncio.timeout(total or None):
            if exchange.request.body is not None:
                body = await prepare_body(exchange, exchange.route.pipeline)
            if may_hedge(exchange, upstream):
                return await hedged(exchange, upstream, lambda asked: _forward(exchange, upstream, None, asked))
            return await _forward(exchange, upstream, body, [])
    except BaseException as error:
        if body is not None:
            body.abandon()
        if isinstance(error, TimeoutError):
            raise ExchangeTimeout(f"no response head within {total:g} s in all") from None
        raise


async def _forward(
    exchange: Exchange, upstream: Upstream, body: RequestBody | None, failed: list[Endpoint]
) -> Response:
    """The attempt loop: pick, connect, send, wait for the head; and again where that is safe.

    `failed` are the endpoints that are not to be asked (any more).
    """
    # hot: plain
    pipeline, request = exchange.route.pipeline, exchange.request
    stale: Endpoint | None = None
    while True:
        endpoint = stale or pick(exchange, upstream, failed)
        attempt = begin_attempt(exchange, upstream, endpoint)
        connection: Http1Connection | None = None
        try:
            if pipeline.on_upstream_request:
                await _change_request(exchange, pipeline, attempt)
            connection = None if stale else endpoint.pool.take()
            if connection is None:
                connection = await endpoint.pool.connect()
            attempt.is_reused = connection.has_served
            connection.begin(request.method, exchange.watch_client)
            framing = NO_BODY.get(request.method, b"") if body is None else body.framing
            head = request_head(method_of(exchange), target_of(exchange), attempt.headers.raw, framing)
            if body is None:
                connection.write(head)
            else:
                body.send(connection, head)
            await connection.head()
            if connection.status in upstream.unwanted:
                unwanted = UnwantedStatus(endpoint.name, connection.status)
                if may_retry(exchange, upstream, unwanted, body, failed, endpoint):
                    attempt.status = connection.status
                    raise unwanted
        except BaseException as error:
            _fail_attempt(exchange, attempt, connection, body, error)
            if isinstance(error, StaleConnection) and len(exchange.attempts) < MAX_STALE:
                if not is_harmless(exchange, error, body):
                    raise
                stale = endpoint
            elif isinstance(error, UnwantedStatus) or (
                isinstance(error, UpstreamError) and may_retry(exchange, upstream, error, body, failed, endpoint)
            ):
                failed.append(endpoint)
                stale = None
                await pause(upstream, len(failed))
            else:
                raise
        else:
            attempt.status = connection.status
            return _response(exchange, attempt, connection, body)


def pick(exchange: Exchange, upstream: Upstream, failed: Sequence[Endpoint]) -> Endpoint:
    """The endpoint of the next attempt: affinity first, then the balancer. Raises NoEndpoint or PluginError."""
    # hot: plain
    candidates = upstream.available
    if failed:
        candidates = tuple(endpoint for endpoint in candidates if endpoint not in failed)
    pipeline = exchange.route.pipeline
    if pipeline.on_select:
        selected = pipeline.select(exchange, candidates)
        if selected is not None:
            return selected
    if not candidates:
        raise upstream.nobody()
    try:
        endpoint = upstream.balancer.choose(exchange, candidates)
    except GatewayError:
        raise
    except FAILURES as error:
        raise PluginError(f"{_balancer_of(upstream)} failed in choose: {error!r}") from error
    if type(endpoint) is not Endpoint:
        raise _none_chosen(upstream, endpoint)
    return endpoint


def _none_chosen(upstream: Upstream, choice: object) -> GatewayError:
    if choice is None:
        return upstream.nobody()
    return PluginError(f"{_balancer_of(upstream)} chose {choice!r}, which is not an Endpoint")


def _balancer_of(upstream: Upstream) -> str:
    return f"balancer {upstream.settings.balancer.use!r} of upstream {upstream.name!r}"


def begin_attempt(exchange: Exchange, upstream: Upstream, endpoint: Endpoint) -> Attempt:
    """Open an attempt, with the fields that the endpoint will get."""
    # hot: plain
    request, attempts = exchange.request, exchange.attempts
    rule = upstream.host_rule
    host = None
    if rule != "keep":
        host = _host(rule, endpoint)
    elif request.http_version == "1.0" and not request.headers.get(b"host"):
        host = _host("endpoint", endpoint)  # what goes out is 1.1, which has one
    app = exchange.app
    headers = outgoing_headers(request, host, app.has_trusted_proxies and app.is_trusted(request))
    attempt = Attempt(len(attempts) + 1, endpoint, Headers.adopt(headers))
    attempts.append(attempt)
    endpoint.in_flight += 1
    upstream.in_flight += 1
    return attempt


def _host(rule: str, endpoint: Endpoint) -> bytes:
    return (endpoint.url.authority if rule == "endpoint" else rule).encode("latin-1")


async def _change_request(exchange: Exchange, pipeline: Pipeline, attempt: Attempt) -> None:
    await run(pipeline.on_upstream_request, exchange, attempt, "on_upstream_request", len(pipeline.plugins))
    attempt.headers.raw = without_framing(attempt.headers)


def _fail_attempt(
    exchange: Exchange,
    attempt: Attempt,
    connection: Http1Connection | None,
    body: RequestBody | None,
    error: BaseException,
) -> None:
    if body is not None:
        body.stop()
    if connection is not None:
        connection.end()
    if isinstance(error, UpstreamError) and not isinstance(error, StaleConnection):
        attempt.endpoint.complain(error)
    end_attempt(exchange, attempt, error if isinstance(error, GatewayError) else None)


def _response(
    exchange: Exchange, attempt: Attempt, connection: Http1Connection, body: RequestBody | None
) -> Response:
    # hot: plain
    headers = connection.headers
    if not connection.has_server:
        headers.append(SERVER)
    if connection.is_complete:
        if connection.announced_length is not None and (exchange.request.method == "HEAD" or attempt.status == 304):
            headers.append((b"content-length", connection.announced_length))
        data = connection.take_body()
        if body is not None and body.stop():
            connection.abort()
        connection.end()
        end_attempt(exchange, attempt, None)
        return Response.adopt(attempt.status or 0, headers, data)
    if connection.announced_length is not None:
        headers.append((b"content-length", connection.announced_length))
    total = exchange.upstream.settings.timeouts.total
    attempt.answered = time.monotonic()
    streamed = UpstreamBody(exchange, attempt, connection, body, total)
    exchange.open_body = streamed
    return Response.adopt(attempt.status or 0, headers, streamed)


def end_attempt(exchange: Exchange, attempt: Attempt, error: GatewayError | None) -> None:
    """Close the record of an attempt and tell those who learn from it."""
    # hot: plain
    attempt.ended = time.monotonic()
    attempt.error = error
    endpoint = attempt.endpoint
    endpoint.in_flight -= 1
    if attempt.status or not isinstance(error, StaleConnection):  # that one is made again
        endpoint.answers[(attempt.status or 0) // 100] += 1
    upstream = exchange.upstream
    upstream.in_flight -= 1
    learn = upstream.tell_balancer
    if learn is not None:
        _teach(learn, attempt, upstream)
    steps = exchange.route.pipeline.on_attempt
    if steps:
        tell(steps, exchange, attempt, "on_attempt")


def _teach(learn: Callable[[Attempt], None], attempt: Attempt, upstream: Upstream) -> None:
    """Let a balancer learn from an attempt, isolated: its failure is logged, and the exchange goes on."""
    try:
        learn(attempt)
    except FAILURES:
        log.exception("%s failed to learn from %r", _balancer_of(upstream), attempt)


class UpstreamBody:
    """A response body while it arrives. Gives the connection back at its end, and cuts it when closed early."""

    __slots__ = ("_attempt", "_connection", "_exchange", "_is_open", "_request_body", "_timer")

    def __init__(
        self,
        exchange: Exchange,
        attempt: Attempt,
        connection: Http1Connection,
        request_body: RequestBody | None,
        total_seconds: float,
    ) -> None:
        self._exchange = exchange
        self._attempt = attempt
        self._connection = connection
        self._request_body = request_body
        self._is_open = True
        self._timer: asyncio.TimerHandle | None = None
        if total_seconds:
            left = total_seconds - (time.monotonic() - exchange.started)
            error = ExchangeTimeout(f"the exchange took longer than {total_seconds:g} s")
            self._timer = connection.loop.call_later(max(left, 0), connection.fail, error)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._connection.read()
        except GatewayError as error:
            self.close(error)
            raise
        if not data:
            self.close()
            raise StopAsyncIteration
        return data

    def fail(self, error: GatewayError) -> None:
        """Cut the body now; whoever reads it gets the error."""
        if self._is_open:
            self._connection.fail(error)

    def has_data(self) -> bool:
        """Whether a piece of it is there already."""
        return self._connection.has_data

    def close(self, error: GatewayError | None = None) -> None:
        """Give the connection back, or cut it if the body has not come to its end."""
        if not self._is_open:
            return
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        if self._request_body is not None and self._request_body.stop():
            self._connection.abort()
        self._connection.end()
        end_attempt(self._exchange, self._attempt, error)
