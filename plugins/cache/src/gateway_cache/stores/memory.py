"""The responses that one worker holds in memory, bounded by their bytes.

Owns which of the stored responses to a URL a request selects, and which go when there is no room.
"""

from __future__ import annotations

from cachetools import LRUCache

from gateway_cache.entry import Entry, Place
from gateway_cache.purging import Purge
from gateway_cache.selecting import Fields, selecting_values

MAX_VARIANTS = 32
"""Responses to one URL; the oldest goes when there are more."""


class Memory:
    """URL → its responses, the newest first. The URLs that were not asked for the longest time go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._urls: LRUCache[bytes, tuple[Entry, ...]] = LRUCache(max_bytes, getsizeof=_size)

    def find(self, url: bytes, place: Place, fields: Fields) -> Entry | None:
        """The response that a request with these fields selects."""
        # hot: cache-hit
        for entry in self._urls.get(url, ()):
            if entry.place == place and (not entry.vary or entry.selecting == selecting_values(entry.vary, fields)):
                return entry
        return None

    def find_whole(self, url: bytes, place: Place, fields: Fields) -> Entry | None:
        """The same, if it is another one than a part."""
        for entry in self._urls.get(url, ()):
            if (
                entry.place == place
                and entry.parts is None
                and entry.selecting == selecting_values(entry.vary, fields)
            ):
                return entry
        return None

    def like(self, url: bytes, entry: Entry) -> Entry | None:
        """The response that is there in the place that this one is going to take."""
        return next((other for other in self._urls.get(url, ()) if _is_alike(other, entry)), None)

    def knows(self, url: bytes) -> bool:
        """Whether there is any response to a URL, selected or not."""
        return url in self._urls

    def put(self, url: bytes, entry: Entry) -> bool:
        """Store a response in the place of the one that the same request would have selected; whether it fits."""
        others = tuple(other for other in self._urls.get(url, ()) if not _is_alike(other, entry))
        fits = entry.size <= self._max_bytes
        kept = (entry, *others)[:MAX_VARIANTS] if fits else others
        while _size(kept) > self._max_bytes:
            kept = kept[:-1]
        if kept:
            self._urls[url] = kept
        else:
            self._urls.pop(url, None)  # what it replaces is outdated in any case
        return fits

    def drop(self, purge: Purge) -> int:
        """Forget the responses that are purged; how many there were."""
        if purge.is_exact:
            return sum(len(self._urls.pop(url, ())) for url in purge.urls)
        dropped = 0
        for url, entries in list(self._urls.items()):
            kept = tuple(entry for entry in entries if not purge.takes(url, entry))
            dropped += len(entries) - len(kept)
            if not kept:
                del self._urls[url]
            elif len(kept) != len(entries):
                self._urls[url] = kept
        return dropped

    @property
    def bytes_held(self) -> int:
        """What all of them take."""
        return int(self._urls.currsize)

    @property
    def entries(self) -> int:
        """How many URLs have a response."""
        return len(self._urls)

    def __repr__(self) -> str:
        return f"<Memory: {len(self._urls)} URLs, {self.bytes_held} of {self._max_bytes} bytes>"


def _is_alike(one: Entry, other: Entry) -> bool:
    """Whether the same requests select them."""
    return (one.place, one.vary, one.selecting) == (other.place, other.vary, other.selecting)


def _size(entries: tuple[Entry, ...]) -> int:
    return sum(entry.size for entry in entries)


__all__ = ["Memory"]
