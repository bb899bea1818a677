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

from gateway import App, Exchange, GatewayError, OpenBody, Request, Response, StateKey, WholeBody, hookimpl
from gateway_cache import config
from gateway_cache.directives import Directives, parse_directives
from gateway_cache.entry import Entry
from gateway_cache.fetching import Fetch, Reader
from gateway_cache.flights import Flights, is_for
from gateway_cache.keeping import confirmed, kept
from gateway_cache.keys import Keys
from gateway_cache.lookup import Lookup, Use, is_bypassed, may_serve_on_error, use_of, wishes_of
from gateway_cache.purging import TOPIC, Message, Purge, of_change, of_command, of_request, of_urls
from gateway_cache.serving import as_asked, copied, replace, serve
from gateway_cache.stores import Stores
from gateway_cache.validation import give_back_conditions, is_conditional, put_conditions

log = logging.getLogger("gateway.cache")

SPECIAL = frozenset((b"cache-control", b"pragma", b"range", b"if-range", b"if-none-match", b"if-modified-since"))
"""Fields of a request for whose sake a fresh response has to be looked at twice."""
FAILURES = frozenset((500, 502, 503, 504))
"""After which a stale response may serve (RFC 5861 4)."""


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
        self._hit = self._name + b"; hit; ttl=%d"
        self._special = SPECIAL | {b"cookie"} if settings.bypass_cookies else SPECIAL
        self._flights = Flights()
        self._stores = Stores(settings, self._flights.void)
        self._memory = self._stores.memory
        self._keys = Keys(settings.ignore_query, is_sorted=settings.sort_query)
        self._tasks: set[asyncio.Task[None]] = set()
        self._state: StateKey[Lookup] = StateKey("cache")
        self._app: App
        self._unsubscribe: Callable[[], None] = lambda: None
        self._hits = self._misses = 0

    # -- life --------------------------------------------------------------------------------------------------

    @hookimpl
    def startup(self, app: App) -> None:
        """Follow what is purged, in whichever worker."""
        self._app = app
        self._stores.open(app.metrics)
        self._unsubscribe = app.bus.subscribe(TOPIC, self._on_purge)
        app.metrics.counter("cache_hits", "Responses served from the cache", lambda: self._hits)
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

    def _purge(self, message: Message) -> int:
        purge = Purge(message)
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
        if (method != "GET" and method != "HEAD") or request.has_body or exchange.is_tunnel:
            secret = self._config.purge_secret
            if method == "PURGE" and secret is not None:
                return self._purge_if_allowed(request, secret.get_secret_value())
            return None
        raw = request.headers.raw
        names = dict(raw)
        url = self._keys.of_exchange(exchange, names)
        place = exchange.route.name, exchange.upstream.name
        now = self._clock()
        entry = self._memory.find(url, place, raw)
        if entry is not None and now < entry.fresh_until and self._special.isdisjoint(names):
            self._hits += 1
            response = serve(entry, now, self._hit % int(entry.fresh_until - now))
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
        if entry is None or lookup.asked >= entry.fresh_until:
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
        entry = held if held is not None and (entry is None or held.born >= entry.born) else entry
        response = self._decide(exchange, lookup, wishes, entry)
        return response if response is None or isinstance(response, Response) else await response

    def _decide(
        self, exchange: Exchange, lookup: Lookup, wishes: Directives, entry: Entry | None
    ) -> Response | Awaitable[Response | None] | None:
        """What a request gets of what is stored."""
        request = exchange.request
        if entry is not None:
            use = use_of(entry, wishes, lookup.asked)
            if use not in (Use.VALIDATE, Use.VALIDATE_FOR_CLIENT):
                if use is Use.STALE_WHILE_REVALIDATING:
                    self._revalidate(exchange, lookup, entry)
                return self._served(request, entry)
            lookup.forward = b"request" if use is Use.VALIDATE_FOR_CLIENT else b"stale"
        elif self._memory.knows(lookup.url):
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
        self, exchange: Exchange, lookup: Lookup, entry: Entry | None, wishes: Directives
    ) -> Response | Awaitable[Response | None] | None:
        """Ask the origin, or wait for somebody who is asking it already."""
        # Whoever wants something newer than others do asks for himself.
        is_choosy = any(name in wishes for name in (b"no-cache", b"max-age", b"min-fresh"))
        if self._config.collapse and not lookup.has_authorization:
            fetch = None if is_choosy or entry is not None else self._flights.arriving(lookup)
            if fetch is not None:
                return self._joined(exchange, lookup, fetch)
            flight = None if is_choosy else self._flights.find(lookup)
            if flight is not None:
                return self._wait(exchange, lookup, flight.landing(), entry)
            self._flights.begin(lookup)
        if entry is not None:
            put_conditions(lookup, exchange.request.headers, entry)
        return None

    async def _wait(
        self, exchange: Exchange, lookup: Lookup, landing: Awaitable[Fetch | Entry | None], known: Entry | None
    ) -> Response | None:
        brought = await landing
        if isinstance(brought, Fetch) and brought.is_open and is_for(lookup, brought.entry):
            return self._joined(exchange, lookup, brought)
        entry = brought.entry if isinstance(brought, Fetch) and brought.is_complete else brought
        # What is not fresh came because the origin has failed.
        if isinstance(entry, Entry) and is_for(lookup, entry) and self._may_share(lookup, entry):
            lookup.is_done = lookup.is_served = True
            return self._served(exchange.request, entry, b"; collapsed")
        if known is not None:
            put_conditions(lookup, exchange.request.headers, known)
        return None

    def _may_share(self, lookup: Lookup, entry: Entry) -> bool:
        return self._clock() < entry.fresh_until or self._may_stand_in(lookup, entry)

    def _joined(self, exchange: Exchange, lookup: Lookup, fetch: Fetch) -> Response:
        """A response whose body is still arriving."""
        lookup.is_done = lookup.is_served = True
        self._hits += 1
        entry = fetch.entry
        response = serve(entry, self._clock(), self._told(entry, b"; collapsed"))
        response.body = exchange.open_body = fetch.reader()
        return response

    def _served(self, request: Request, entry: Entry, more: bytes = b"") -> Response:
        self._hits += 1
        return as_asked(serve(entry, self._clock(), self._told(entry, more)), entry, request)

    def _told(self, entry: Entry, more: bytes) -> bytes:
        return self._hit % int(entry.lifetime_ends - self._clock()) + more

    # -- in the background -------------------------------------------------------------------------------------

    def _revalidate(self, exchange: Exchange, lookup: Lookup, entry: Entry) -> None:
        """Fetch a fresh one while the stale one serves (RFC 5861 3), once at a time."""
        if not self._flights.begin(lookup, in_background=True):
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
                self._take(copy, lookup, response)
                if lookup.storing is not None:
                    await self._read_on(lookup, lookup.storing, response)
        except GatewayError as error:
            log.debug("cache: %r could not be fetched again: %s", lookup.url, error)
        except Exception:
            log.exception("cache: %r could not be fetched again", lookup.url)
        finally:
            self._flights.arrive(lookup)

    async def _read_on(self, lookup: Lookup, entry: Entry, response: Response) -> None:
        if isinstance(response.body, bytes):
            self._stores.put(lookup.url, entry.with_body(response.body))
            self._flights.land(lookup, entry if self._is_shared(lookup, entry) else None)
            return
        fetch = self._share(lookup, entry, response.body, None)
        async for _ in fetch.reader():
            pass

    # -- on the way out ----------------------------------------------------------------------------------------

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """See what the origin said: is it to be stored, does it confirm what is stored, has it failed?"""
        lookup = exchange.get(self._state)
        if lookup is None:
            self._see(exchange, response)
            return
        if not lookup.is_done:
            lookup.status = response.status
            self._take(exchange, lookup, response)
            if lookup.storing is not None and self._is_final(exchange, response):
                self._finish(exchange, lookup, lookup.storing, response)
        if not lookup.is_served:
            self._say(lookup, response)

    def _take(self, exchange: Exchange, lookup: Lookup, response: Response) -> None:
        lookup.is_done = True
        request, entry = exchange.request, lookup.entry
        give_back_conditions(lookup, request.headers)
        if entry is not None and response.status == 304:
            self._confirm(exchange, lookup, entry, response)
        elif entry is not None and response.status in FAILURES and self._may_stand_in(lookup, entry):
            if exchange.open_body is not None:
                exchange.open_body.close()
                exchange.open_body = None
            replace(response, self._stale(exchange, lookup, entry))
        elif request.method == "GET":
            lookup.storing = kept(exchange, lookup, response, self._config, self._clock())
            lookup.is_stored = lookup.storing is not None
            if lookup.storing is None and entry is not None and response.status < 500:
                self._stores.drop(Purge(of_urls([lookup.url])))  # what it was is no more
            if lookup.storing is None or not self._is_shared(lookup, lookup.storing):
                if exchange.error is None:
                    self._flights.was_in_vain(lookup)
                self._flights.land(lookup, None)

    def _is_shared(self, lookup: Lookup, entry: Entry) -> bool:
        """Whether others may have it as it comes: it is fresh, and has not been purged meanwhile."""
        return self._clock() < entry.fresh_until and not lookup.is_void

    def _is_final(self, exchange: Exchange, response: Response) -> bool:
        """Whether the body is there, and nobody behind us is going to change it."""
        steps = exchange.route.pipeline.wrap_response_body
        return isinstance(response.body, bytes) and getattr(steps[0].call, "__self__", None) is self

    def _finish(self, exchange: Exchange, lookup: Lookup, entry: Entry, response: Response) -> None:
        """Store a response whose body is there."""
        lookup.storing = None
        assert isinstance(response.body, bytes)
        self._put(lookup, entry.with_body(response.body))
        self._flights.land(lookup, entry)
        if lookup.conditions:
            replace(response, as_asked(copied(response), entry, exchange.request))

    @hookimpl
    def wrap_response_body(self, exchange: Exchange, body: AsyncIterable[bytes]) -> AsyncIterable[bytes] | None:
        """Have a body that is to be stored read in a task of its own, for everybody who wants it."""
        lookup = exchange.get(self._state)
        if lookup is None or lookup.storing is None:
            return None
        entry, lookup.storing = lookup.storing, None
        if isinstance(body, WholeBody):
            self._put(lookup, entry.with_body(body.data))
            self._flights.land(lookup, entry)
            return None
        fetch = self._share(lookup, entry, body, exchange.open_body)
        self._flights.land(lookup, fetch)
        reader: Reader = fetch.reader()
        exchange.open_body = reader
        return reader

    def _share(self, lookup: Lookup, entry: Entry, body: AsyncIterable[bytes], held: OpenBody | None) -> Fetch:
        is_shared, most = self._is_shared(lookup, entry), self._config.max_entry
        fetch = self._flights.fetch(lookup, entry, body, held, most, self._stores.put, is_shared=is_shared)
        fetch.is_wanted = not lookup.is_void
        return fetch

    def _put(self, lookup: Lookup, entry: Entry) -> None:
        if not lookup.is_void:
            self._stores.put(lookup.url, entry)

    def _confirm(self, exchange: Exchange, lookup: Lookup, entry: Entry, response: Response) -> None:
        """The stored response is still good: it takes the new fields, and serves (RFC 9111 4.3.4)."""
        now = self._clock()
        merged = confirmed(exchange, lookup, entry, response, self._config, now)
        if merged is None:
            self._stores.drop(Purge(of_urls([lookup.url])))
            self._flights.land(lookup, None)
            merged = entry
        else:
            self._put(lookup, merged)
            lookup.is_stored = not lookup.is_void
            self._flights.land(lookup, merged if self._is_shared(lookup, merged) else None)
        whole = serve(merged, now, b"")
        whole.headers.remove(b"cache-status")
        replace(response, as_asked(whole, merged, exchange.request))

    def _may_stand_in(self, lookup: Lookup, entry: Entry) -> bool:
        wishes = parse_directives([value for name, value in lookup.fields if name == b"cache-control"])
        return not lookup.is_void and may_serve_on_error(entry, wishes, self._clock())

    def _stale(self, exchange: Exchange, lookup: Lookup, entry: Entry) -> Response:
        lookup.is_done = lookup.is_served = True
        self._flights.land(lookup, entry)
        give_back_conditions(lookup, exchange.request.headers)
        return self._served(exchange.request, entry, b"; detail=origin-failed")

    @hookimpl
    def on_error(self, exchange: Exchange, error: GatewayError) -> Response | None:
        """Serve what is stale if nobody can be reached and nothing forbids it."""
        lookup = exchange.get(self._state)
        if lookup is None or lookup.entry is None or lookup.is_done or error.side == "client":
            return None
        return self._stale(exchange, lookup, lookup.entry) if self._may_stand_in(lookup, lookup.entry) else None

    @hookimpl
    def on_complete(self, exchange: Exchange) -> None:
        """Nobody waits for an exchange that has ended."""
        lookup = exchange.get(self._state)
        if lookup is not None:
            self._flights.arrive(lookup)

    def _see(self, exchange: Exchange, response: Response) -> None:
        """A request that is not for caches: if it may have changed something, what is stored of that is void."""
        if not exchange.is_tunnel and (message := of_change(exchange, response, self._keys)):
            self._app.bus.publish(TOPIC, message)

    def _say(self, lookup: Lookup, response: Response) -> None:
        """Cache-Status (RFC 9211)."""
        told = b"%b; fwd=%b; fwd-status=%d" % (self._name, lookup.forward, lookup.status or response.status)
        response.headers.raw.append((b"cache-status", told + b"; stored" if lookup.is_stored else told))


__all__ = ["Cache"]
