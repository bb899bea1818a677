"""Ask an upstream for a plugin's sake: a request of its own, and the whole answer.

Owns the way of such a request, which is every request's but without plugins; those of the whole gateway hear of its
attempts, so that health is learnt from it as from any other. Does not decide what comes of the answer.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Mapping

from gateway.config.routes import Route as RouteSettings
from gateway.errors import BadResponse, ConfigurationError
from gateway.forward import forward
from gateway.model import Exchange, Response
from gateway.pipeline import Pipeline
from gateway.routing import Route
from gateway.upstream.group import Upstream


class Asker:
    """The ways to the upstreams of one App."""

    def __init__(self, upstreams: Mapping[str, Upstream], heard_by: Pipeline) -> None:
        self._upstreams = upstreams
        self._pipeline = Pipeline()
        self._pipeline.on_attempt = heard_by.on_attempt
        self._routes: dict[str, Route] = {}

    async def ask(self, name: str, exchange: Exchange, most: int) -> Response:
        """The answer with its whole body. Raises GatewayError, BadResponse for one of more than `most` bytes."""
        if exchange.is_clients:
            raise ValueError("ask with an exchange of your own, exchange.copy(): this one is the client's")
        exchange.route = route = self._route(name)
        exchange.upstream, exchange.forwarded_path = route.upstream, None
        exchange.request.headers.set_default(b"host", name)  # a request that was made by hand may have none
        try:
            response = await forward(exchange)
            response.body = await _whole(response, most, name)
            return response
        finally:
            if exchange.open_body is not None:
                exchange.open_body.close()
                exchange.open_body = None  # it leads back to the exchange: nothing is left for the collector
            exchange.ended = time.monotonic()

    def _route(self, name: str) -> Route:
        route = self._routes.get(name)
        if route is None:
            upstream = self._upstreams.get(name)
            if upstream is None:
                raise ConfigurationError(f"there is no upstream {name!r}")
            route = Route(RouteSettings(name=f"ask {name}", upstream=name), self._pipeline, upstream)
            self._routes[name] = route
        return route


async def _whole(response: Response, most: int, name: str) -> bytes:
    body = response.body
    pieces = [body] if isinstance(body, bytes) else await _gathered(body, most)
    data = b"".join(pieces)
    if len(data) > most:
        raise BadResponse(f"upstream {name!r}: an answer of more than {most} bytes")
    return data


async def _gathered(body: AsyncIterable[bytes], most: int) -> list[bytes]:
    pieces: list[bytes] = []
    size = 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size > most:
            break
    return pieces
