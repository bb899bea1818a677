"""The plugin itself: a cache before what the plugins behind it and endpoints say.

Owns the order of its steps on an exchange's way. What may be stored is decided by `policy`, what may be used by
`lookup`; `serving` makes the response.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from gateway import App, Exchange, GatewayError, Request, Response, StateKey, hookimpl
from gateway_cache import config
from gateway_cache.directives import Directives
from gateway_cache.entry import Entry
from gateway_cache.fetching import Fetch
from gateway_cache.flights import Flights, is_for
from gateway_cache.intake import Intake
from gateway_cache.keys import Keys
from gateway_cache.lookup import OVERRIDES, Lookup, Use, is_bypassed, use_of, wishes_of
from gateway_cache.partial import wanted_part
from gateway_cache.purging import TOPIC, Message, Purge, of_change, of_command, of_request, of_urls
from gateway_cache.serving import Hits, as_asked, serve
from gateway_cache.stores import Stores
from gateway_cache.validation import is_conditional, put_conditions

log = logging.getLogger("gateway.cache")

STORED = frozenset(("GET", "HEAD"))
"""What is answered from the store; other methods pass."""
SPECIAL = OVERRIDES | {
    b"cache-control", b"pragma", b"range", b"if-range", b"if-none-match", b"if-modified-since"
}  # fmt: skip
"""Fields of a request for whose sake a fresh response has to be looked at twice."""
TURNS = 3
"""So often one of those who wait asks for the others, when whoever did before brought nothing; then all of them."""


class Cache:
    """Store responses, and serve them again for as long as they say that they are good.

    It stands before the plugins whose work it saves: what they make of a response is what is stored.
    """

    api = 1
    Config = config.Config

    def __init__(self, settings: config.Config, clock: Callable[[], float] = time.time) -> None:
        self._config = settings
        self._clock = clock
        self._name = settings.name.encode()
        self._special = SPECIAL | {b"cookie"} if settings.bypass_cookies else SPECIAL
        self._flights = Flights()
        self._stores = Stores(settings, self._on_purge_elsewhere)
        self._memory = self._stores.memory
        self._keys = Keys(settings.ignore_query, settings.device_classes, is_sorted=settings.sort_query)
        self._hits = Hits(settings.name, clock)
        self._intake = Intake(settings, self._stores, self._flights, self._hits, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._state: StateKey[Lookup] = StateKey("cache")
        self._app: App
        self._unsubscribe: Callable[[], None] = lambda: None
        self._misses = 0

    # -- life --------------------------------------------------------------------------------------------------

    @hookimpl
    def startup(self, app: App) -> None:
        """Follow what is purged, in whichever worker."""
        self._app = app
        self._stores.open(app.metrics)
        self._unsubscribe = app.bus.subscribe(TOPIC, self._on_purge)
        app.metrics.counter("cache_hits", "Responses served from the cache", lambda: self._hits.count)
        app.metrics.counter("cache_misses", "Requests for which the origin was asked", lambda: self._misses)
        app.metrics.counter("cache_stored", "Responses stored", lambda: self._stores.count)
        app.metrics.gauge("cache_bytes", "What stored responses take", lambda: self._memory.bytes_held)

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """Give up what is being fetched."""
        self._unsubscribe()
        self._flights.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stores.close()

    @hookimpl
    def on_command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """`gateway purge`. Each worker hears of it by itself."""
        return {"purged": self._purge(of_command(arguments, self._keys))} if name == "purge" else None

    def _on_purge(self, message: Message) -> None:
        self._purge(message)

    def _on_purge_elsewhere(self, message: Message) -> None:
        """Another gateway has purged something, and has deleted it from the store that we share."""
        purge = Purge(message, self._keys.devices)
        self._flights.void(purge)
        self._memory.drop(purge)

    def _purge(self, message: Message) -> int:
        purge = Purge(message, self._keys.devices)
        self._flights.void(purge)
        return self._stores.drop(purge)

    def _purge_if_allowed(self, request: Request, secret: str) -> Response:
        given = request.headers.get(b"authorization", b"") or b""
        if not hmac.compare_digest(given, b"Bearer " + secret.encode()):
            return Response(403, {"cache-control": "no-store"}, "PURGE needs the secret\n")
        self._app.bus.publish(TOPIC, of_request(request, self._keys))
        return Response(200, {"cache-control": "no-store"}, "purged\n")

    # -- on the way in -----------------------------------------------------------------------------------------

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Serve what is stored, if it may be; wait for what is being fetched; or see what the origin says."""
        # hot: cache-hit
        request = exchange.request
        method = request.method
        if method not in STORED or request.has_body or exchange.is_tunnel:
            secret = self._config.purge_secret
            if method == "PURGE" and secret is not None:
                return self._purge_if_allowed(request, secret.get_secret_value())
            return None
        raw = request.headers.raw
        names = dict(raw)
        url = self._keys.for_device(exchange, names)
        place = exchange.route.name, exchange.upstream.name
        now = self._clock()
        entry = self._memory.find(url, place, raw)
        if entry is not None and now < entry.fresh_until and self._special.isdisjoint(names):
            hits = self._hits
            hits.count += 1
            response = serve(entry, now, hits.status % int(entry.fresh_until - now))
            return response if method == "GET" else as_asked(response, entry, request)
        return self._look(exchange, Lookup(exchange, url, place, now), entry)

    def _look(
        self, exchange: Exchange, lookup: Lookup, entry: Entry | None
    ) -> Response | Awaitable[Response | None] | None:
        """The longer way: the request has a say, or there is nothing fresh."""
        request, wishes = exchange.request, wishes_of(exchange.request)
        if b"no-store" in wishes or is_bypassed(request, self._config.bypass_cookies):
            lookup.forward, lookup.is_done = b"bypass", True
            exchange[self._state] = lookup
            return None
        if entry is not None and entry.parts is not None and wanted_part(entry, request) is None:
            lookup.forward = b"partial"
            entry = self._memory.find_whole(lookup.url, lookup.place, lookup.fields)
        if entry is None or lookup.asked >= entry.lifetime_ends:
            found = self._stores.newer(lookup, entry)
            if found is not None and not isinstance(found, Entry):
                return self._look_again(exchange, lookup, wishes, found)
            entry = found
        return self._decide(exchange, lookup, wishes, entry)

    async def _look_again(
        self, exchange: Exchange, lookup: Lookup, wishes: Directives, finding: Awaitable[Entry | None]
    ) -> Response | None:
        """As soon as a store that is not in this machine has answered."""
        entry = await finding
        held = self._memory.find(lookup.url, lookup.place, lookup.fields)  # somebody else may have been quicker
        if held is not None and held.parts is not None and wanted_part(held, exchange.request) is None:
            held = None
        entry = held if held is not None and (entry is None or held.born >= entry.born) else entry
        response = self._decide(exchange, lookup, wishes, entry)
        return response if response is None or isinstance(response, Response) else await response

    def _decide(
        self, exchange: Exchange, lookup: Lookup, wishes: Directives, entry: Entry | None
    ) -> Response | Awaitable[Response | None] | None:
        """What a request gets of what is stored."""
        request = exchange.request
        if entry is not None and (entry := entry.opened()) is None:
            self._stores.drop(Purge(of_urls([lookup.url])))  # its file has vanished
        if entry is not None:
            use = use_of(entry, wishes, lookup.asked)
            if use not in (Use.VALIDATE, Use.VALIDATE_FOR_CLIENT):
                if use is Use.STALE_WHILE_REVALIDATING:
                    self._revalidate(exchange, lookup, entry)
                return self._hits.response(request, entry)
            lookup.forward = b"request" if use is Use.VALIDATE_FOR_CLIENT else b"stale"
        elif lookup.forward != b"partial" and self._memory.knows(lookup.url):
            lookup.forward = b"vary-miss"
        if b"only-if-cached" in wishes:
            told = b"%b; fwd=%b; detail=only-if-cached" % (self._name, lookup.forward)
            return Response(504, {"cache-status": told})
        exchange[self._state] = lookup
        self._flights.depart(lookup)
        self._misses += 1
        if request.method == "HEAD" or (entry is None and is_conditional(request.headers)):
            return None  # what comes is not for others
        return self._set_out(exchange, lookup, entry, wishes)

    def _set_out(
        self, exchange: Exchange, lookup: Lookup, entry: Entry | None, wishes: Directives, turns: int = TURNS
    ) -> Response | Awaitable[Response | None] | None:
        """Ask the origin, or wait for somebody who is asking it already."""
        # Whoever wants something newer than others do asks for himself.
        is_choosy = any(name in wishes for name in (b"no-cache", b"max-age", b"min-fresh"))
        if self._config.collapse and turns and not lookup.has_authorization:
            fetch = None if is_choosy or entry is not None else self._flights.arriving(lookup)
            if fetch is not None and fetch.entry.is_fresh(self._clock()):
                lookup.is_done = lookup.is_served = True
                return self._hits.arriving(exchange, lookup.forward, fetch)
            flight = None if is_choosy else self._flights.find(lookup)
            if flight is not None:
                return self._wait(exchange, lookup, flight.landing(), entry, wishes, turns)
            if self._flights.begin(lookup) and not is_choosy:
                lookup.claim = self._stores.claim(lookup.url)
                if lookup.claim is None:
                    return self._wait_for_worker(exchange, lookup, entry)
        if entry is not None:
            put_conditions(lookup, exchange.request.headers, entry)
        return None

    async def _wait_for_worker(self, exchange: Exchange, lookup: Lookup, known: Entry | None) -> Response | None:
        """Another worker is asking; those who wait in this one wait for what that brings."""
        brought = await self._stores.turn(lookup, known)
        if isinstance(brought, Entry):
            entry = brought.opened()
            if entry is not None and self._may_share(lookup, entry):
                lookup.is_done = lookup.is_served = True
                self._flights.land(lookup, entry)
                return self._hits.response(exchange.request, entry, collapsed=lookup.forward)
        else:
            lookup.claim = brought
        lookup.asked = self._clock()
        if known is not None:
            put_conditions(lookup, exchange.request.headers, known)
        return None

    async def _wait(
        self,
        exchange: Exchange,
        lookup: Lookup,
        landing: Awaitable[Fetch | Entry | None],
        known: Entry | None,
        wishes: Directives,
        turns: int,
    ) -> Response | None:
        brought = await landing
        now = self._clock()
        if isinstance(brought, Fetch) and brought.is_open and _serves(lookup, brought.entry, now):
            lookup.is_done = lookup.is_served = True
            return self._hits.arriving(exchange, lookup.forward, brought)
        entry = brought.entry if isinstance(brought, Fetch) and brought.is_complete else brought
        # What is not fresh came because the origin has failed.
        entry = entry.opened() if isinstance(entry, Entry) and entry.parts is None else None
        if entry is not None and is_for(lookup, entry) and self._may_share(lookup, entry):
            lookup.is_done = lookup.is_served = True
            return self._hits.response(exchange.request, entry, collapsed=lookup.forward)
        # Nothing, perhaps since its client has left: somebody else's turn, for whom the others wait. It begins now,
        # and what was purged before does not touch it.
        lookup.asked, lookup.is_void = now, False
        response = self._set_out(exchange, lookup, known, wishes, turns - 1)
        return response if response is None or isinstance(response, Response) else await response

    def _may_share(self, lookup: Lookup, entry: Entry) -> bool:
        return entry.is_fresh(self._clock()) or self._intake.may_stand_in(lookup, entry)

    # -- in the background -------------------------------------------------------------------------------------

    def _revalidate(self, exchange: Exchange, lookup: Lookup, entry: Entry) -> None:
        """Fetch a fresh one while the stale one serves (RFC 5861 3), once at a time."""
        if not self._flights.begin(lookup, in_background=True):
            return
        lookup.claim = self._stores.claim(lookup.url)
        if lookup.claim is None:
            self._flights.land(lookup, None)  # another worker does
            return
        self._flights.depart(lookup)
        copy = exchange.copy()
        copy.request.method = "GET"
        put_conditions(lookup, copy.request.headers, entry)
        task = asyncio.get_running_loop().create_task(self._fetch_again(copy, lookup))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch_again(self, copy: Exchange, lookup: Lookup) -> None:
        try:
            async with self._app.ask_behind(self, copy) as response:
                self._intake.take(copy, lookup, response)
                if lookup.storing is not None:
                    await self._intake.read_alone(lookup, lookup.storing, response)
        except GatewayError as error:
            log.debug("cache: %r could not be fetched again: %s", lookup.url, error)
        except Exception:
            log.exception("cache: %r could not be fetched again", lookup.url)
        finally:
            self._intake.arrive(lookup)

    # -- on the way out ----------------------------------------------------------------------------------------

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """See what the origin said: is it to be stored, does it confirm what is stored, has it failed?"""
        lookup = exchange.get(self._state)
        if lookup is None:
            self._see(exchange, response)
            return
        if not lookup.is_done:
            lookup.status = response.status if exchange.error is None else 0
            self._intake.take(exchange, lookup, response)
            if lookup.storing is not None and self._is_final(exchange, response):
                self._intake.finish(exchange, lookup, lookup.storing, response)
        if not lookup.is_served:
            self._say(exchange, lookup, response)

    def _is_final(self, exchange: Exchange, response: Response) -> bool:
        """Whether the body is there, and nobody behind us is going to change it."""
        steps = exchange.route.pipeline.wrap_response_body
        return isinstance(response.body, bytes) and getattr(steps[0].call, "__self__", None) is self

    def _see(self, exchange: Exchange, response: Response) -> None:
        """A request that is not for caches: if it may have changed something, what is stored of that is void."""
        if not exchange.is_tunnel and (message := of_change(exchange, response, self._keys)):
            self._app.bus.publish(TOPIC, message)
        request = exchange.request
        if exchange.error is None and not exchange.is_tunnel and (request.has_body or request.method not in STORED):
            why = b"bypass" if request.method in STORED else b"method"
            response.headers.raw.append(
                (b"cache-status", b"%b; fwd=%b; fwd-status=%d" % (self._name, why, response.status))
            )

    def _say(self, exchange: Exchange, lookup: Lookup, response: Response) -> None:
        """Cache-Status (RFC 9211)."""
        told = b"%b; fwd=%b" % (self._name, lookup.forward)
        status = lookup.status or (response.status if exchange.error is None else 0)
        if status:  # else nobody has answered
            told += b"; fwd-status=%d" % status
        response.headers.raw.append((b"cache-status", told + b"; stored" if lookup.is_stored else told))

    @hookimpl
    def wrap_response_body(self, exchange: Exchange, body: AsyncIterable[bytes]) -> AsyncIterable[bytes] | None:
        """Store a body while it is read."""
        lookup = exchange.get(self._state)
        return None if lookup is None else self._intake.read_along(exchange, lookup, body)

    @hookimpl
    def on_error(self, exchange: Exchange, error: GatewayError) -> Response | None:
        """Serve what is stale if nobody can be reached and nothing forbids it."""
        lookup = exchange.get(self._state)
        if lookup is None or lookup.is_done or error.side == "client":
            return None
        return self._intake.stale(exchange, lookup)

    @hookimpl
    def on_complete(self, exchange: Exchange) -> None:
        """Nobody waits for an exchange that has ended."""
        lookup = exchange.get(self._state)
        if lookup is not None:
            self._intake.arrive(lookup)


def _serves(lookup: Lookup, entry: Entry, now: float) -> bool:
    """Whether a response that is arriving is what a lookup waits for: it may have become stale on the way."""
    return is_for(lookup, entry) and entry.is_fresh(now)


__all__ = ["Cache"]
