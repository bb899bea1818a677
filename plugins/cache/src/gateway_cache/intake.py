"""What becomes of what the origin says: it is stored, or confirms what is stored, or something stale stands in.

Owns the way from a response to the stores and to those who wait for it. Does not decide what a request gets of what
is stored, nor whether a response may be (`policy`).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

from gateway import Exchange, OpenBody, Response, WholeBody
from gateway_cache.config import Config
from gateway_cache.directives import parse_directives
from gateway_cache.entry import Entry, stored_headers
from gateway_cache.fetching import Fetch, Reader
from gateway_cache.flights import Flights
from gateway_cache.keeping import confirmed, kept
from gateway_cache.lookup import Lookup, may_serve_on_error
from gateway_cache.partial import wanted_part
from gateway_cache.policy import NEGATIVE
from gateway_cache.purging import Purge, of_urls
from gateway_cache.serving import Hits, as_asked, copied, replace, serve
from gateway_cache.stores import Stores
from gateway_cache.validation import confirms, give_back_conditions

FAILURES = frozenset((500, 502, 503, 504))
"""After which a stale response may serve (RFC 5861 4)."""


class Intake:
    """The responses of endpoints and of plugins behind the cache, in one App."""

    def __init__(
        self, config: Config, stores: Stores, flights: Flights, hits: Hits, clock: Callable[[], float]
    ) -> None:
        self._config = config
        self._stores = stores
        self._flights = flights
        self._hits = hits
        self._clock = clock

    def take(self, exchange: Exchange, lookup: Lookup, response: Response) -> None:
        """Look at a response, once, as soon as its head is there."""
        lookup.is_done = True
        request, entry = exchange.request, lookup.entry
        give_back_conditions(lookup, request.headers)
        if entry is not None and response.status == 304:
            self._confirm(exchange, lookup, entry, response)
        elif response.status in FAILURES and (stale := self.stale(exchange, lookup)) is not None:
            if exchange.open_body is not None:
                exchange.open_body.close()
                exchange.open_body = None
            replace(response, stale)
        elif request.method == "GET":
            self._keep(exchange, lookup, response)
        elif response.status == 200:
            self._compare(exchange, lookup, response)

    def _keep(self, exchange: Exchange, lookup: Lookup, response: Response) -> None:
        storing = lookup.storing = kept(exchange, lookup, response, self._config, self._clock())
        lookup.is_stored = storing is not None
        is_replaced = response.status < 400 or response.status in NEGATIVE
        if storing is None and lookup.entry is not None and is_replaced:
            self._drop(lookup)  # what it was is no more
        if storing is None or not self.is_shared(lookup, storing):
            if exchange.error is None and response.status not in FAILURES:
                self._flights.was_in_vain(lookup)
            self._flights.land(lookup, None)
            self._release(lookup)

    def arrive(self, lookup: Lookup) -> None:
        """Its exchange has ended: nobody waits for it any more."""
        self._flights.arrive(lookup)
        self._release(lookup)

    def _release(self, lookup: Lookup) -> None:
        claim, lookup.claim = lookup.claim, None
        if claim is not None:
            self._stores.release(claim)

    def is_shared(self, lookup: Lookup, entry: Entry) -> bool:
        """Whether others may have it as it comes: it is fresh, and has not been purged meanwhile."""
        return entry.parts is None and entry.is_fresh(self._clock()) and not lookup.is_void

    def _drop(self, lookup: Lookup) -> None:
        self._stores.drop(Purge(of_urls([lookup.url])))

    # -- storing -----------------------------------------------------------------------------------------------

    def finish(self, exchange: Exchange, lookup: Lookup, entry: Entry, response: Response) -> None:
        """Store a response whose body is there."""
        lookup.storing = None
        assert isinstance(response.body, bytes)
        self._put(lookup, entry.with_body(response.body))
        self._flights.land(lookup, entry if self.is_shared(lookup, entry) else None)
        if lookup.conditions and entry.parts is None:
            replace(response, as_asked(copied(response), entry, exchange.request))

    def read_along(self, exchange: Exchange, lookup: Lookup, body: AsyncIterable[bytes]) -> Reader | None:
        """Have a body that is to be stored read in a task of its own, for everybody who wants it."""
        entry, lookup.storing = lookup.storing, None
        if entry is None:
            return None
        if isinstance(body, WholeBody):
            if len(body.data) > self._config.max_entry:
                self._flights.land(lookup, None)
                return None
            self._put(lookup, entry.with_body(body.data))
            self._flights.land(lookup, entry if self.is_shared(lookup, entry) else None)
            return None
        fetch = self._fetch(lookup, entry, body, exchange.open_body)
        self._flights.land(lookup, fetch)
        reader: Reader = fetch.reader()
        exchange.open_body = reader
        return reader

    async def read_alone(self, lookup: Lookup, entry: Entry, response: Response) -> None:
        """Read a body that nobody has asked for, and store it."""
        if isinstance(response.body, bytes):
            self._stores.put(lookup.url, entry.with_body(response.body))
            self._flights.land(lookup, entry if self.is_shared(lookup, entry) else None)
            return
        fetch = self._fetch(lookup, entry, response.body, None)
        async for _ in fetch.reader():
            pass

    def _fetch(self, lookup: Lookup, entry: Entry, body: AsyncIterable[bytes], held: OpenBody | None) -> Fetch:
        is_shared = self.is_shared(lookup, entry)
        claim, lookup.claim = lookup.claim, None
        fetch = self._flights.fetch(lookup, entry, body, held, self._stores, claim, is_shared=is_shared)
        fetch.is_wanted = not lookup.is_void
        return fetch

    def _put(self, lookup: Lookup, entry: Entry) -> None:
        if not lookup.is_void:
            self._stores.put(lookup.url, entry)

    # -- what is stored already --------------------------------------------------------------------------------

    def _confirm(self, exchange: Exchange, lookup: Lookup, entry: Entry, response: Response) -> None:
        """The stored response is still good: it takes the new fields, and serves (RFC 9111 4.3.4)."""
        now = self._clock()
        merged = confirmed(exchange, lookup, entry, response, self._config, now)
        if merged is None:
            self._drop(lookup)
            self._flights.land(lookup, None)
        else:
            if merged.vary != entry.vary:
                self._drop(lookup)  # as it stood it is selected by too many
            self._put(lookup, merged)
            lookup.is_stored = not lookup.is_void
            self._flights.land(lookup, merged if self.is_shared(lookup, merged) else None)
        # This client gets all that was said, also what is not stored for others.
        shown = entry
        if confirms(response, entry):
            born = entry.born if merged is None else merged.born
            shown = entry.validated(stored_headers(response, now), entry.terms, born)
        whole = serve(shown, now, b"")
        whole.headers.remove(b"cache-status")
        is_part_there = shown.parts is None or wanted_part(shown, exchange.request) is not None
        replace(response, as_asked(whole, shown if is_part_there else entry, exchange.request))

    def _compare(self, exchange: Exchange, lookup: Lookup, response: Response) -> None:
        """An answer to HEAD: what is stored for GET takes its fields, or is outdated (RFC 9111 4.3.5)."""
        known, now = self._stores.memory.find(lookup.url, lookup.place, lookup.fields), self._clock()
        if known is not None:
            is_same = known.status == response.status
            merged = confirmed(exchange, lookup, known, response, self._config, now) if is_same else None
            self._put(lookup, known.outdated(now) if merged is None else merged)

    # -- when the origin fails ---------------------------------------------------------------------------------

    def may_stand_in(self, lookup: Lookup, entry: Entry) -> bool:
        """Whether a stale response may serve because the origin fails."""
        wishes = parse_directives([value for name, value in lookup.fields if name == b"cache-control"])
        return not lookup.is_void and may_serve_on_error(entry, wishes, self._clock())

    def stale(self, exchange: Exchange, lookup: Lookup) -> Response | None:
        """What is stored, for this client and for all who wait; None if that may not stand in, or there is none."""
        entry = lookup.entry or self._stores.memory.find(lookup.url, lookup.place, lookup.fields)
        if entry is None or not self.may_stand_in(lookup, entry) or (entry := entry.opened()) is None:
            return None
        if entry.parts is not None and wanted_part(entry, exchange.request) is None:
            return None
        lookup.is_done = lookup.is_served = True
        self._flights.land(lookup, entry if entry.parts is None else None)
        give_back_conditions(lookup, exchange.request.headers)
        return self._hits.response(exchange.request, entry, b"; detail=origin-failed")


__all__ = ["Intake"]
