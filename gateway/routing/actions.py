"""What becomes of a request that a route has taken, beside going to one upstream.

Owns splits, rewritten paths, redirects and fixed answers. Copies to a second upstream are `gateway.mirror`.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gateway.config.actions import Redirect, Respond, Rewrite
from gateway.config.routes import Match
from gateway.config.templates import Part, parse_template
from gateway.errors import ClientError
from gateway.headers import Headers, cookies_of
from gateway.model import Exchange, Request, Response
from gateway.routing.conditions import parameters_of
from gateway.routing.paths import literal_segments, raw_segments

if TYPE_CHECKING:
    from gateway.upstream.group import Upstream

Act = Callable[[Exchange], Response | None]
"""What a route does once the plugins have let a request pass: answer it, or nothing that concerns the client."""

_KEPT_IN_LOCATION = "!#$%&'()*+,/:;=?@[]~"
"""Beside letters, digits and `-._`: whatever else came in a request is percent-encoded in a Location."""


# -- splits --------------------------------------------------------------------------------------------------------


class Split:
    """Chooses one of several upstreams by weight.

    With a key, the same key goes to the same side, in every worker and after a restart. Changed weights move only
    those keys that they have to: when one upstream's weight grows, keys move to it and none between others. While
    none of a side's endpoints is available, the others share its requests; its keys come back to it.
    """

    def __init__(
        self,
        sides: Mapping[str, tuple[Upstream, float]],
        key: Callable[[Request], bytes],
        chance: random.Random,
        sticky: str = "",
    ) -> None:
        self.weights = {name: weight for name, (_, weight) in sides.items()}
        self._sticky = sticky
        """What the key is, in words."""
        used = {name: side for name, side in sides.items() if side[1]}
        self._upstreams = [upstream for upstream, _ in used.values()]
        self._sums = list(accumulate(weight for _, weight in used.values()))
        self._seeds = [
            (blake2b(name.encode(), digest_size=16).digest(), upstream, weight)
            for name, (upstream, weight) in used.items()
        ]
        self._key = key
        self._chance = chance

    def choose(self, request: Request) -> Upstream:
        """The side of a request."""
        key = self._key(request)
        if key:
            return self._choose_by(key, self._seeds)
        upstream = self._chance.choices(self._upstreams, cum_weights=self._sums)[0]
        # Chance decides among the others as well: what is drawn serves as a key.
        return upstream if upstream.available else self._choose_by(self._chance.randbytes(8), self._seeds)

    def why(self, request: Request) -> str:
        """How the side of a request is chosen, in words."""
        if self._key(request):
            return f"by {self._sticky}"
        return f"drawn: the request has no {self._sticky}" if self._sticky else "drawn"

    def _choose_by(self, key: bytes, seeds: list[tuple[bytes, Upstream, float]]) -> Upstream:
        best = max(seeds, key=lambda side: _score(side[0], key, side[2]))[1]
        if best.available:
            return best
        others = [side for side in seeds if side[1].available]
        return self._choose_by(key, others) if others else best


def _score(seed: bytes, key: bytes, weight: float) -> float:
    """Weighted rendezvous hashing: the greatest score wins, with a probability in proportion to its weight."""
    digest = blake2b(key, digest_size=8, key=seed).digest()
    # 52 bits and a half: a float holds them exactly, so that what is between 0 and 1 never becomes one of them.
    return -weight / math.log(((int.from_bytes(digest, "big") >> 12) + 0.5) / (1 << 52))


def sticky_key(sticky: str) -> Callable[[Request], bytes]:
    """A function that gives what keeps a client on its side; empty if a request has none."""
    kind, _, name = sticky.partition(":")
    if kind == "source":
        return lambda request: request.client.encode("latin-1")
    if kind == "header":
        return lambda request: request.headers.get(name, b"")
    if kind == "cookie":
        return lambda request: next(cookies_of(request.headers.raw, name), "").encode("latin-1")
    if kind == "query":
        return lambda request: next(parameters_of(request, name), "").encode("utf-8", "surrogatepass")
    return lambda request: b""


# -- rewritten paths -----------------------------------------------------------------------------------------------


class Rewriting:
    """Makes the path that endpoints see, of raw bytes of the request's path with dot segments resolved."""

    def __init__(self, settings: Rewrite, match: Match) -> None:
        self._skipped = sum(1 for segment in literal_segments(match.path) if segment)
        self._prefix = (settings.prefix or "").rstrip("/").encode()
        self._pieces = parse_template(settings.pattern) if settings.pattern else None

    def path(self, exchange: Exchange) -> bytes:
        """The new path. Raises ClientError for one that would lead out of where it belongs."""
        raw = exchange.request.raw_path
        if raw == b"*":
            return raw
        if self._pieces is None:
            rest = raw_segments(raw)[self._skipped :]
            path = b"/".join([self._prefix, *rest]) or b"/"
        else:
            path = fill(self._pieces, exchange.captures).encode("latin-1")
        if leads_astray(path):
            raise ClientError("the path cannot be rewritten: it has dot segments behind encoded slashes")
        return path


def leads_astray(path: bytes) -> bool:
    """Whether an endpoint that decodes slashes, or takes a backslash for one, would find `..` in a path."""
    return b".." in re.split(rb"[/\\]", unquote_to_bytes(path))


def fill(pieces: tuple[str | Part, ...], values: Mapping[str, str]) -> str:
    """A template's text with values in the place of names."""
    return "".join(piece if isinstance(piece, str) else values.get(piece.name, "") for piece in pieces)


# -- answers -------------------------------------------------------------------------------------------------------


class Redirecting:
    """Answers with a Location."""

    def __init__(self, settings: Redirect) -> None:
        self._pieces = parse_template(settings.to)
        self._status = settings.status
        self._is_relative = not settings.to.startswith("http")
        self._names_host = any(isinstance(piece, Part) and piece.name == "host" for piece in self._pieces)

    def __call__(self, exchange: Exchange) -> Response:
        """The redirect of one request."""
        request = exchange.request
        if self._names_host and not request.host:
            raise ClientError("the redirect needs a Host, and the request has none")
        path = b"/" + request.raw_path.lstrip(b"/\\") if request.raw_path != b"*" else b"/"
        values = {
            **exchange.captures,
            "host": request.host,
            "path": path.decode("latin-1"),
            "query": f"?{request.query.decode('latin-1')}" if request.query else "",
        }
        location = quote_from_bytes(fill(self._pieces, values).encode("latin-1"), safe=_KEPT_IN_LOCATION)
        if self._is_relative:  # "//host" would be another host
            location = "/" + location.lstrip("/")
        exchange.answered("route", str(self._status))
        return Response.redirect(location, self._status)


class Responding:
    """Answers with what the configuration says."""

    def __init__(self, settings: Respond) -> None:
        self._status = settings.status
        self._body = settings.body.encode()
        self._headers = Headers(settings.headers)
        if settings.body:
            self._headers.set_default(b"content-type", b"text/plain; charset=utf-8")

    def __call__(self, exchange: Exchange) -> Response:
        """The answer to one request."""
        exchange.answered("route", str(self._status))
        return Response(self._status, self._headers.copy(), self._body)
