"""What the cache knows of one exchange, and what a request lets it do with a stored response.

Owns the request's side of the decision (RFC 9111 4.2, 5.2.1): is what is stored fresh enough for this client?
"""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase

from gateway import Exchange, Request
from gateway_cache.claims import Claim
from gateway_cache.directives import NONE, Directives, parse_directives, seconds
from gateway_cache.entry import Entry, Place
from gateway_cache.fetching import Flight
from gateway_cache.selecting import Fields
from gateway_cache.validation import is_conditional


class Use(Enum):
    """What may be done with a stored response."""

    FRESH = "fresh"
    STALE = "stale"
    """Serve it although it is stale: the client allows that."""
    STALE_WHILE_REVALIDATING = "stale while revalidating"
    VALIDATE = "validate"
    """Ask the origin: it is stale, or has to be validated in any case."""
    VALIDATE_FOR_CLIENT = "validate for the client"
    """Ask the origin: it is fresh, but not for this client."""


class Lookup:
    """One exchange's way through the cache."""

    __slots__ = (
        "asked", "claim", "conditions", "entry", "fields", "flight", "forward", "has_authorization",
        "is_conditional", "is_done", "is_served", "is_stored", "is_void", "place", "status", "storing", "url",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, url: bytes, place: Place, now: float) -> None:
        self.url = url
        self.place = place
        self.fields: Fields = exchange.request.headers.raw.copy()
        """As the client sent them: they select."""
        self.asked = now
        self.entry: Entry | None = None
        """What is being validated, or serves if the origin fails."""
        self.forward = b"uri-miss"
        """Why the origin is asked, as in Cache-Status (RFC 9211 2.2)."""
        self.flight: Flight | None = None
        """This exchange's own, which others wait for."""
        self.claim: Claim | None = None
        """This worker's right to ask, for which other workers wait."""
        self.conditions: Fields = []
        """The client's own conditions, which ours have replaced."""
        self.has_authorization = b"authorization" in exchange.request.headers
        self.status = 0
        """What the origin answered."""
        self.storing: Entry | None = None
        """What is stored as soon as its body has been read."""
        self.is_conditional = is_conditional(exchange.request.headers)
        self.is_stored = False
        self.is_void = False
        """Whether what comes is outdated already: its URL was purged meanwhile."""
        self.is_done = False
        """Whether the response has been looked at."""
        self.is_served = False
        """Whether it came from what is stored, and says so."""


OVERRIDES = frozenset((b"x-http-method", b"x-http-method-override", b"x-method-override"))
"""Fields by which some applications take a GET for another method: what they answer is for nobody else."""


def is_bypassed(request: Request, patterns: tuple[str, ...]) -> bool:
    """Whether a request means another method, or has a cookie of one of these names."""
    if not OVERRIDES.isdisjoint(dict(request.headers.raw)):
        return True
    if not patterns:
        return False
    pairs = b";".join(request.headers.get_all(b"cookie")).decode("latin-1").split(";")
    names = [pair.partition("=")[0].strip() for pair in pairs]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def use_of(entry: Entry, request: Directives, now: float) -> Use:
    """What a request with these directives may get of a stored response."""
    age, terms = now - entry.born, entry.terms
    lifetime = terms.lifetime
    must_validate = terms.is_validated
    if b"no-cache" in request:
        return Use.VALIDATE_FOR_CLIENT if age < lifetime and not must_validate else Use.VALIDATE
    if must_validate:
        return Use.VALIDATE
    oldest, left = seconds(request, b"max-age"), seconds(request, b"min-fresh")
    if age < lifetime:
        is_too_old = oldest is not None and age > oldest and not terms.is_immutable
        if is_too_old or (left is not None and lifetime - age < left):
            return Use.VALIDATE_FOR_CLIENT
        return Use.FRESH
    if oldest is not None and age > oldest:
        return Use.VALIDATE
    # What was never fresh may have been meant for one client: no other client's word makes it his.
    if lifetime > 0 and not terms.is_strict and b"max-stale" in request:
        most = seconds(request, b"max-stale") if request[b"max-stale"] is not None else None
        if most is None or age - lifetime <= most:
            return Use.STALE
    if age - lifetime <= terms.while_revalidating and left is None:
        return Use.STALE_WHILE_REVALIDATING
    return Use.VALIDATE


def may_serve_on_error(entry: Entry, request: Directives, now: float) -> bool:
    """Whether a stale response may serve because the origin fails (RFC 5861 4, RFC 9111 4.2.4)."""
    terms = entry.terms
    if terms.is_validated or b"no-cache" in request:
        return False
    staleness = now - entry.lifetime_ends
    asked = seconds(request, b"stale-if-error")
    most = max(terms.if_error, 0 if asked is None or terms.is_strict or not terms.lifetime else asked)
    return staleness <= most


def wishes_of(request: Request) -> Directives:
    """What a request says to caches; `Pragma: no-cache` counts where it says nothing (RFC 9111 5.4)."""
    given = request.headers.get_all(b"cache-control")
    if given:
        return parse_directives(given)
    pragma = parse_directives(request.headers.get_all(b"pragma"))
    return {b"no-cache": None} if b"no-cache" in pragma else NONE


__all__ = ["OVERRIDES", "Lookup", "Use", "is_bypassed", "may_serve_on_error", "use_of", "wishes_of"]
