"""Who is asking the origin for what just now, and what is arriving, in one worker.

Owns that requests for the same thing wait for one of them, and that they do not where it was in vain before.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Protocol, TypeAlias

from cachetools import TTLCache

from gateway import OpenBody
from gateway_cache.claims import Claim
from gateway_cache.entry import Entry, Place
from gateway_cache.fetching import Fetch, Flight
from gateway_cache.files import Spill
from gateway_cache.lookup import Lookup
from gateway_cache.purging import Purge
from gateway_cache.selecting import selecting_values

Key: TypeAlias = tuple[bytes, Place]

MAX_IN_VAIN = 4096
IN_VAIN_SECONDS = 10.0
"""So long requests do not wait for each other after a response that was not for others."""


class Store(Protocol):
    """What takes responses that have arrived."""

    max_entry: int
    """The longest body that is held in memory."""

    def put(self, url: bytes, entry: Entry) -> None:
        """Store a response."""
        ...

    def release(self, claim: Claim) -> None:
        """Let other workers ask."""
        ...

    def spill(self) -> Spill | None:
        """Where a longer body may go; None if nowhere. Raises OSError."""
        ...


class Flights:
    """The flights of one worker, by URL and place."""

    def __init__(self) -> None:
        self._flights: dict[Key, Flight] = {}
        self._under_way: set[Lookup] = set()
        """Everybody who asks the origin, whether others wait for that or not."""
        self._in_vain: TTLCache[Key, bool] = TTLCache(MAX_IN_VAIN, IN_VAIN_SECONDS)
        self._fetches: dict[Fetch, Key] = {}
        self._arriving: dict[Key, Fetch] = {}
        """The latest fetch for each URL and place."""

    def find(self, lookup: Lookup) -> Flight | None:
        """The flight that may bring what this lookup is about."""
        flight = self._flights.get((lookup.url, lookup.place))
        return None if flight is None or flight.is_void else flight

    def depart(self, lookup: Lookup) -> None:
        """Take down that a lookup asks the origin; `arrive` is called in any case."""
        self._under_way.add(lookup)

    def arrive(self, lookup: Lookup) -> None:
        """A lookup's exchange has ended: nobody waits for it any more."""
        self._under_way.discard(lookup)
        self.land(lookup, None)

    def begin(self, lookup: Lookup, *, in_background: bool = False) -> bool:
        """Let others wait for this one, unless there is a flight, or it would be in vain; whether they will.

        In the background it is begun whatever comes of it, once at a time.
        """
        key = (lookup.url, lookup.place)
        if key in self._flights or (key in self._in_vain and not in_background):
            return False
        lookup.flight = self._flights[key] = Flight()
        return True

    def land(self, lookup: Lookup, brought: Fetch | Entry | None) -> None:
        """Tell those who wait for this one, if it was a flight and has not landed yet."""
        flight, lookup.flight = lookup.flight, None
        if flight is not None:
            key = (lookup.url, lookup.place)
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.land(brought)

    def was_in_vain(self, lookup: Lookup) -> None:
        """What it brought is not for others: the next ones are not to wait for each other."""
        if lookup.flight is not None and not lookup.is_void:
            self._in_vain[lookup.url, lookup.place] = True

    def arriving(self, lookup: Lookup) -> Fetch | None:
        """What has begun to arrive, and is what this lookup is about."""
        fetch = self._arriving.get((lookup.url, lookup.place))
        return fetch if fetch is not None and fetch.is_open and is_for(lookup, fetch.entry) else None

    def fetch(
        self,
        lookup: Lookup,
        entry: Entry,
        body: AsyncIterable[bytes],
        held: OpenBody | None,
        store: Store,
        claim: Claim | None,
        *,
        is_shared: bool,
    ) -> Fetch:
        """Begin to read a body, for all who want it if it is shared; `store` gets it if it is whole and wanted, and
        the claim back."""
        key = lookup.url, lookup.place

        def ended(fetch: Fetch) -> None:
            self._fetches.pop(fetch, None)
            if self._arriving.get(key) is fetch:
                del self._arriving[key]
            if fetch.is_complete and fetch.is_wanted:
                store.put(lookup.url, fetch.entry)
            release()

        def release() -> None:
            if claim is not None:
                store.release(claim)

        fetch = Fetch(entry, body, held, store.max_entry, ended, store.spill if entry.parts is None else None)
        fetch.on_left_out = release
        self._fetches[fetch] = key
        fetch.is_open = is_shared
        if is_shared:
            self._arriving[key] = fetch
        return fetch

    def void(self, purge: Purge) -> None:
        """What these bring is outdated: it is not stored, and nobody else waits for it."""
        for lookup in self._under_way:
            lookup.is_void = lookup.is_void or purge.takes(lookup.url, None)
        for (url, _), flight in self._flights.items():
            flight.is_void = flight.is_void or purge.takes(url, None)
        for fetch, (url, _) in self._fetches.items():
            if purge.takes(url, fetch.entry):
                fetch.is_open = fetch.is_wanted = False

    def cancel(self) -> None:
        """Give up what is arriving."""
        for fetch in list(self._fetches):
            fetch.cancel()

    def __repr__(self) -> str:
        return f"<Flights: {len(self._flights)} under way>"


def is_for(lookup: Lookup, entry: Entry) -> bool:
    """Whether a response that somebody else has asked for is what this lookup's request selects."""
    return entry.selecting == selecting_values(entry.vary, lookup.fields)


__all__ = ["Flights", "is_for"]
