"""From a stored response to the one that a client gets: Age, Cache-Status, conditions, ranges, HEAD.

Owns what a client sees of a hit. Does not decide whether there is one.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway import Condition, Exchange, Request, Response, condition, if_range_holds, ranged
from gateway_cache.entry import Entry, RawHeaders
from gateway_cache.fetching import Fetch
from gateway_cache.partial import part

IN_NOT_MODIFIED = frozenset(
    (b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary", b"cdn-cache-control")
)
"""Fields of a 304 (RFC 9110 15.4.5)."""


class Hits:
    """What one App has served from what is stored, and what Cache-Status says of that (RFC 9211)."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name.encode()
        self.status = self._name + b"; hit; ttl=%d"
        self._clock = clock
        self.count = 0

    def response(self, request: Request, entry: Entry, more: bytes = b"", *, collapsed: bytes = b"") -> Response:
        """What a request gets of a stored response; `more` is said of it besides.

        `collapsed` is why the origin was asked, by somebody else for whom this request has waited.
        """
        self.count += 1
        told = self._told(entry, more) if not collapsed else self._collapsed(collapsed)
        return as_asked(serve(entry, self._clock(), told), entry, request)

    def arriving(self, exchange: Exchange, forward: bytes, fetch: Fetch) -> Response:
        """A response whose body is still arriving, to a request that somebody else has made."""
        self.count += 1
        response = serve(fetch.entry, self._clock(), self._collapsed(forward))
        response.body = exchange.open_body = fetch.reader()
        return response

    def _collapsed(self, forward: bytes) -> bytes:
        return b"%b; fwd=%b; collapsed" % (self._name, forward)

    def _told(self, entry: Entry, more: bytes) -> bytes:
        return self.status % int(entry.lifetime_ends - self._clock()) + more


def serve(entry: Entry, now: float, status: bytes) -> Response:
    """A response of its own from a stored one. `status` is what Cache-Status says of it."""
    # hot: cache-hit
    headers = [*entry.headers, (b"age", b"%d" % max(0, int(now - entry.born))), (b"cache-status", status)]
    if entry.file is not None:
        headers.append((b"content-length", b"%d" % entry.length))
    response = Response.adopt(entry.status, headers, entry.body)
    response.is_for_one = True
    return response


def as_asked(response: Response, entry: Entry, request: Request) -> Response:
    """The response to a request with conditions, a range or the method HEAD, from the whole one."""
    if 200 <= response.status < 300:
        since = entry.last_modified if entry.last_modified is not None else entry.date
        found = condition(request.headers, entry.etag, since, is_cache=True)
        if found is Condition.NOT_MODIFIED:
            return not_modified(response)
    if entry.parts is not None:
        return part(response, entry, request)
    if response.status == 200 and request.method == "GET":
        wanted = request.headers.get(b"range")
        if wanted is not None and if_range_holds(request.headers, entry.etag, entry.last_modified, entry.date):
            response = ranged(response, wanted)
    if request.method == "HEAD" and response.status != 204:
        response.headers.set(b"content-length", b"%d" % entry.length)
        response.body = b""
    return response


def not_modified(response: Response) -> Response:
    """The 304 in the place of a whole response."""
    raw: RawHeaders = [
        field
        for field in response.headers.raw
        if field[0] in IN_NOT_MODIFIED or field[0] in (b"age", b"cache-status")
    ]
    if not any(name == b"etag" for name, _ in raw):
        raw += [field for field in response.headers.raw if field[0] == b"last-modified"]
    return Response.adopt(304, raw, b"")


def length_of(response: Response) -> int:
    """How long the body is, as far as that is known; 0 if it is not."""
    if isinstance(response.body, bytes):
        return len(response.body)
    announced = response.headers.get(b"content-length")
    return int(announced) if announced is not None and announced.isdigit() else 0


def copied(response: Response) -> Response:
    """The same as an object of its own."""
    return Response.adopt(response.status, response.headers.raw.copy(), response.body)


def replace(response: Response, other: Response) -> None:
    """Put another one in a response's place."""
    response.status, response.headers.raw, response.body = other.status, other.headers.raw, other.body


__all__ = ["Hits", "as_asked", "copied", "length_of", "not_modified", "replace", "serve"]
