"""Ask an upstream for a plugin's sake: a request of its own, and the whole answer.

Owns the way of such a request, which is every request's but without plugins; those of the whole gateway hear of its
attempts, so that health is learnt from it as from any other. Does not decide what comes of the answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from gateway.config.routes import Route as RouteSettings
from gateway.errors import GatewayError
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
        exchange.upstream = route.upstream
        if exchange.forwarded_path is exchange.inherited_path:  # where the route would have sent it
            exchange.forwarded_path = None
        exchange.request.headers.set_default(b"host", name)  # a request that was made by hand may have none
        try:
            response = await forward(exchange)
            await response.read(most)
            return response
        except GatewayError as error:
            error.asked = name
            raise
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
                raise ValueError(f"there is no upstream {name!r}; there are {', '.join(self._upstreams) or 'none'}")
            route = Route(RouteSettings(name=f"ask {name}", upstream=name), self._pipeline, upstream)
            self._routes[name] = route
        return route
