"""The composition root: settings become an App, which carries exchanges from request to response.

Owns what is built from a configuration and the order of the phases. An App is immutable once built: a reload
builds a new one beside it. Does not listen (`listeners`) and does not fork (`process`).
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from gateway.admission import Bounds, TrustedProxies, check
from gateway.asking import Asker
from gateway.bus import Bus
from gateway.config.loader import Source
from gateway.config.model import PLUGIN_TABLES, EndpointSettings, Settings
from gateway.config.model import Route as RouteSettings
from gateway.connection_hooks import ConnectionHooks
from gateway.core_metrics import show_core
from gateway.error_pages import SERVED_METHODS, error_response
from gateway.errors import ConfigurationError, GatewayError, NoRoute, ShuttingDown
from gateway.explaining import LiveExplainer
from gateway.failure_log import FailureLog
from gateway.forward import SERVER, forward
from gateway.lifecycle import Jobs, start_plugins, stop_plugins
from gateway.metrics import Metrics, added_results
from gateway.mirror import mirror_of
from gateway.model import Exchange, Request, Response
from gateway.pipeline import Pipeline, compiled, order_hooks, run, run_now
from gateway.registry import PluginLoader
from gateway.response_body import settle_framing, wrap_body
from gateway.routing import WANTS_BODY, Route, Router, SeenBody, build_route, read_ahead
from gateway.upstream.agreement import Agreement, publish_endpoints, publish_mark
from gateway.upstream.balancer import Balancer, First
from gateway.upstream.endpoint import Endpoint, EndpointState
from gateway.upstream.group import Upstream
from gateway.upstream.message import end_forwarding, end_named, has_forwarding, take_hop
from gateway.upstream.ticker import Ticker
from gateway.ways import ways_of

log = logging.getLogger("gateway")


class App:
    """One configuration, ready to serve."""

    def __init__(self, source: Source, bus: Bus | None = None, worker: int = 0, *, is_heir: bool = False) -> None:
        """Build everything that the configuration names. Raises ConfigurationError.

        `is_heir`: its worker takes the place of one that died, and has to serve whatever stands in files by now.
        """
        self.source = source
        self.settings: Settings = source.settings()
        self.bus = bus or Bus()
        self._worker = worker
        self.is_retired = False
        """Whether another App is taking its place, here or in another process, or the gateway stops."""
        self.in_flight = 0
        """Exchanges that began on this App and have not ended."""
        self.exchanges = 0
        """Exchanges that began on this App."""
        self.connections = 0
        """Connections that came to edges of this App and are open."""
        self.connections_denied = 0
        """Connections that a plugin has denied, at edges."""
        self.handshakes_failed = 0
        """Connections that ended at an edge before they were let in: no TLS, a bad certificate, too late."""
        self.metrics = Metrics()
        """What `gateway metrics` shows; plugins add theirs in `startup`."""
        loader = PluginLoader(source.base)
        loader.registry.add_balancer("first", First)
        self.plugins = loader.instances(self.settings.plugins)
        """The plugins of the whole gateway, in order, by name."""
        route_plugins = [loader.instances(route.plugins) for route in self.settings.routes]
        self.registry, self.plugin_settings = loader.registry, loader.settings
        self._ticker = Ticker()
        self.upstreams = {
            name: Upstream(name, settings, self._balancer(name, source.name), self._ticker)
            for name, settings in self.settings.upstreams.items()
        }
        self.tables = {table: self._read_table(table) for table in PLUGIN_TABLES}
        """What plugins' own tables say: `app.tables["health"]["app"]` of `[upstreams.app.health]`."""
        self.mirrors = [mirror_of(route, self.upstreams) for route in self.settings.routes]
        """What copies the requests of each route, in the order of the file; None for those that are not copied."""
        common, *pipelines = compiled([self.plugins, *route_plugins])
        self.router = Router(
            build_route(settings, pipeline, self.upstreams, random.Random(), mirror)
            for settings, pipeline, mirror in zip(self.settings.routes, pipelines, self.mirrors, strict=True)
        )
        self.unrouted = Route(RouteSettings(name="none", upstream="none"), common, Upstream.nowhere())
        """The place of exchanges that no route took: the plugins of the whole gateway see them pass."""
        self._asker = Asker(self.upstreams, self.unrouted.pipeline)
        self._every_plugin = _distinct([self.plugins, *route_plugins])
        self._observers = Pipeline(self._every_plugin)
        """Who hears of endpoints: every plugin, for an endpoint has no route."""
        self.connection_hooks = ConnectionHooks(self._every_plugin)
        inherited = self.bus.kept if is_heir else _nothing
        self.ways = ways_of(self.settings.listeners, self.connection_hooks.names, self.registry, source, inherited)
        """How connections come in, by the listeners' order."""
        terminators = [("tls", way.terminator) for way in self.ways if way.terminator is not None]
        self._living = [*self._every_plugin, *terminators]
        """Who is started and stopped."""
        self._trusted = TrustedProxies(self.settings.trusted_proxies)
        self.has_trusted_proxies = not self._trusted.is_empty
        self._limits = self.settings.limits
        self.bounds = Bounds(self._limits)
        """What clients are held to, unless an exchange has bounds of its own."""
        secret = self.settings.explain_secret
        self._explainer = LiveExplainer(secret.get_secret_value()) if secret else None
        names = frozenset(name for name, _ in self._every_plugin)
        self._is_started = False
        self._jobs = Jobs()
        self._failures = FailureLog()
        self._routes_behind: dict[tuple[Route, int], Route] = {}
        """Routes without the first of their plugins, by which that is."""
        self._agreement = Agreement(self.bus, self.upstreams, names)
        for upstream in self.upstreams.values():
            upstream.on_change = partial(self._endpoint_changed, upstream.name)
        show_core(self)

    def _balancer(self, name: str, file: str) -> Balancer:
        choice = self.settings.upstreams[name].balancer
        balancer: Balancer = self.registry.build("balancer", choice, f"{file}: upstreams.{name}.balancer")
        return balancer

    def _read_table(self, table: str) -> dict[str, Any]:
        return {
            name: self.registry.read_table(table, name, getattr(settings, table), self.source)
            for name, settings in self.settings.upstreams.items()
        }

    # -- endpoints ---------------------------------------------------------------------------------------------

    def mark(
        self, upstream: str, endpoint: str, source: str, state: EndpointState, reason: str, owner: str = ""
    ) -> None:
        """Say in every worker what a source holds an endpoint for; UP takes back what it said before.

        `owner` is the plugin that answers for the mark: it does not count where that plugin is not loaded, so
        that nobody is held by what no longer looks.
        """
        publish_mark(self.bus.publish, upstream, endpoint, source, state, reason, owner)

    def set_endpoints(self, upstream: str, endpoints: Iterable[EndpointSettings]) -> None:
        """Give an upstream just these endpoints, in every worker."""
        publish_endpoints(self.bus.publish, self.upstreams[upstream], endpoints)

    def describe_endpoints(self) -> list[dict[str, Any]]:
        """Every endpoint as it stands in this worker, as plain data."""
        return [item for upstream in self.upstreams.values() for item in upstream.describe()]

    def command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """What the plugins make of an operator's command; None if it is nobody's. Raises ValueError."""
        said = [step.call(name, arguments) for step in order_hooks(self._every_plugin)["on_command"]]
        return added_results([each for each in said if each is not None])

    def once(self, name: str) -> bool:
        """Whether this worker is the one that runs a job of the whole gateway.

        False from the moment that another App takes over: a job that repeats asks each time.
        """
        return self._worker == 0 and not self.is_retired

    def spawn(self, job: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run a plugin's coroutine in the background: logged if it fails, and cancelled before `shutdown`."""
        return self._jobs.start(job)

    # -- life --------------------------------------------------------------------------------------------------

    async def startup(self) -> None:
        """Start the plugins, in order. Raises PluginError if one refuses; those before it are shut down."""
        self._agreement.begin()
        self._is_started = True
        try:
            await start_plugins(self._living, self, self._jobs)
        except BaseException:
            await self._leave()
            raise

    async def shutdown(self) -> None:
        """Stop the plugins, in reverse order, cut copies under way, and close idle connections."""
        await self._jobs.end()
        self._failures.close()
        await stop_plugins(self._living, self)
        await self._leave()

    def cut(self) -> None:
        """Fail what waits for endpoints or reads from them: at the deadline of a drain, before `shutdown`."""
        self._ticker.fail(ShuttingDown())

    async def _leave(self) -> None:
        self._agreement.end()
        for mirror in self.mirrors:
            if mirror is not None:
                await mirror.close()
        for upstream in self.upstreams.values():
            upstream.close()

    # -- exchanges ---------------------------------------------------------------------------------------------

    def is_trusted(self, request: Request) -> bool:
        """Whether the peer may tell who the client is."""
        return request.peer in self._trusted

    def is_trusted_peer(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        return address in self._trusted

    async def respond(
        self,
        exchange: Exchange,
        forward: Callable[[Exchange], Awaitable[Response]] = forward,
        route: Route | None = None,
    ) -> Response:
        """The response to an exchange, errors included. Its body may still be arriving.

        `forward` is how the upstream is asked; opening a tunnel is another way (`gateway.tunnel`). An exchange that
        has its `route` already is not looked at again.
        """
        # hot: plain
        try:
            if route is None:
                route = self._admit(exchange)
            if route is None:
                route = await self._admit_by_body(exchange)
            if self._explainer is not None:
                exchange.route = route = self._explainer.route(exchange, route)
            pipeline = route.pipeline
            is_plain = pipeline.is_synchronous
            response, limit = pipeline.unanswered
            if pipeline.on_request:
                if is_plain:
                    said, limit = pipeline.ask_now(exchange)
                    if said is not None and not isinstance(said, Response):
                        said, limit = await pipeline.ask_on(exchange, said, limit)
                    response = said
                else:
                    response, limit = await pipeline.ask(exchange)
            if response is None and exchange.request.method == "OPTIONS" and not take_hop(exchange.request.headers):
                response = Response(204, {"allow": SERVED_METHODS})
            if response is None and route.act is not None:
                response = route.act(exchange)
            if response is not None:
                response.headers.set_default(*SERVER)
                if not pipeline.on_response:
                    settle_framing(exchange, response)
            else:
                response = await forward(exchange)
                if pipeline.on_upstream_response:
                    await run(pipeline.on_upstream_response, exchange, response, "on_upstream_response", limit)
                    settle_framing(exchange, response)
            if pipeline.on_response:
                if is_plain:
                    run_now(pipeline.on_response, exchange, response, "on_response", limit)
                else:
                    await run(pipeline.on_response, exchange, response, "on_response", limit)
                settle_framing(exchange, response)
            if pipeline.first_wrapper < limit:
                wrap_body(exchange, pipeline, response, limit)
        except GatewayError as error:
            response = await self._respond_to_error(exchange, error)
        except Exception as error:
            log.exception("request %s failed", exchange.id)
            response = await self._respond_to_error(exchange, GatewayError(repr(error)))
        exchange.response = response
        return response

    @asynccontextmanager
    async def ask_behind(self, plugin: object, exchange: Exchange) -> AsyncIterator[Response]:
        """What the plugins listed behind `plugin`, and the upstream, say to an exchange: errors included.

        For a plugin that wants a response for later: the exchange is one of its own (`exchange.copy()`), which no
        plugin before it sees. The body of the response has to be read within the block.
        """
        exchange.route = self._behind(exchange.route, plugin)
        try:
            response = await self.respond(exchange, route=exchange.route)
            yield response
        finally:
            if exchange.open_body is not None:
                exchange.open_body.close(exchange.error)
            exchange.ended = time.monotonic()
            exchange.route.pipeline.complete(exchange)

    async def ask(self, upstream: str, exchange: Exchange, most: int = 64 * 1024) -> Response:
        """What an upstream says to an exchange of a plugin's own, made by `exchange.copy()`: with the whole body.

        Its request may be changed before. No plugin sees it; balancing, health, retries and timeouts are those of
        the upstream. Raises GatewayError if no answer comes, or one of more than `most` bytes.
        """
        return await self._asker.ask(upstream, exchange, most)

    def _behind(self, route: Route, plugin: object) -> Route:
        key = (route, id(plugin))
        if key not in self._routes_behind:
            self._routes_behind[key] = behind = copy.copy(route)
            behind.pipeline = route.pipeline.behind(plugin)
        return self._routes_behind[key]

    def _admit(self, exchange: Exchange) -> Route | None:
        """Check the request and find its route, which is set even when this raises; None if the body decides."""
        # hot: plain
        request = exchange.request
        router = self.router
        if self.has_trusted_proxies:
            request.client = self._trusted.client_of(request)
        route = router.only
        exchange.route = self.unrouted if route is None else route
        exchange.upstream = exchange.route.upstream
        fields = check(request, self.bounds)
        if b"connection" in fields:
            end_named(request.headers)
        if has_forwarding(fields) and not self.is_trusted(request):
            end_forwarding(request.headers)
        if route is None:
            found = router.match(request)
            if found is WANTS_BODY:
                return None
            if found is None:
                raise NoRoute
            found.take(exchange)
            return found
        return route

    async def _admit_by_body(self, exchange: Exchange) -> Route:
        """Find the route of an exchange whose body has to be read for that."""
        return self._take_by_body(exchange, await read_ahead(exchange, self._limits.match_body))

    def _take_by_body(self, exchange: Exchange, body: SeenBody) -> Route:
        route = self.router.match(exchange.request, body)
        if not isinstance(route, Route):
            raise NoRoute
        route.take(exchange)
        return route

    def admit(self, exchange: Exchange, body: SeenBody) -> Route:
        """The route of an exchange that is only asked about, with its whole body. Raises GatewayError."""
        return self._admit(exchange) or self._take_by_body(exchange, body)

    async def _respond_to_error(self, exchange: Exchange, error: GatewayError) -> Response:
        if exchange.open_body is not None:
            exchange.open_body.close(error)
        exchange.error = error
        self._failures.tell(exchange, error)
        pipeline = exchange.route.pipeline
        response = pipeline.ask_error(exchange, error) or error_response(exchange, error)
        try:
            if pipeline.on_response:
                await run(pipeline.on_response, exchange, response, "on_response", len(pipeline.plugins))
        except GatewayError as second:
            log.error("request %s: %s", exchange.id, second)
            response = error_response(exchange, second)
        response.headers.set_default(*SERVER)
        settle_framing(exchange, response)
        return response

    def _endpoint_changed(
        self, upstream: str, endpoint: Endpoint, old: EndpointState, new: EndpointState, reason: str
    ) -> None:
        if self._is_started:  # else it is what others have said long ago
            up, every = self.upstreams[upstream].up, len(self.upstreams[upstream].endpoints)
            level = logging.INFO if new is not EndpointState.DOWN else logging.WARNING if up else logging.ERROR
            change = f"{old.value} → {new.value}: {reason}; {up} of {every} up"
            log.log(level, "upstream %s: endpoint %s: %s", upstream, endpoint.name, change)
        self._observers.tell_endpoint(endpoint, old, new, reason)

    def __repr__(self) -> str:
        return f"<App {self.source.name}: {len(self.router.routes)} routes, {len(self.upstreams)} upstreams>"


def _nothing(topic: str) -> tuple[Any, ...]:
    return ()


def _distinct(lists: list[list[tuple[str, object]]]) -> list[tuple[str, object]]:
    seen: dict[int, tuple[str, object]] = {}
    for plugins in lists:
        for name, plugin in plugins:
            seen.setdefault(id(plugin), (name, plugin))
    return list(seen.values())


__all__ = ["App", "ConfigurationError"]
