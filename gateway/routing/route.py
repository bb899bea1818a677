"""A route: its match taken apart into conditions, its pipeline, what becomes of a request, its place in the order.

Does not look for routes (`router`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from gateway.config.routes import Match
from gateway.config.routes import Route as RouteSettings
from gateway.config.templates import Part, parse_pattern
from gateway.model import Exchange, Request
from gateway.pipeline import Pipeline
from gateway.routing.actions import Act, Redirecting, Responding, Rewriting, Split, sticky_key
from gateway.routing.body import body_conditions
from gateway.routing.conditions import further_conditions, place_conditions
from gateway.routing.paths import captured, literal_segments, pattern_segments
from gateway.upstream.group import Upstream

EXACT_HOST, WILDCARD_HOST, HOST_EXPRESSION, ANY_HOST = range(4)
EXACT_PATH, OTHER_PATH = range(2)
PATTERN, OPEN_PATTERN, PREFIX = range(3)


class Tally:
    """What became of the exchanges of a route, for its metrics."""

    __slots__ = ("responses", "seconds")

    def __init__(self) -> None:
        self.responses = [0] * 6
        """By the class of their status: `responses[2]` were successful."""
        self.seconds = 0.0
        """How long they took together, tunnels excepted."""

    def count(self, status: int, seconds: float) -> None:
        """One more has ended."""
        # hot: plain
        try:
            self.responses[status // 100] += 1
        except (IndexError, TypeError):  # a plugin's mistake, of which the log knows
            return
        self.seconds += seconds


class Route:
    """A match, its compiled pipeline, and what becomes of a request; immutable but for its tally."""

    __slots__ = (
        "_expression", "_pattern", "_rewriting", "act", "asks_body", "body_conditions", "checks", "conditions",
        "destination", "is_answering", "is_plain", "match", "name", "pipeline", "places", "split", "tally",
        "upstream",
    )  # fmt: skip

    def __init__(
        self,
        settings: RouteSettings,
        pipeline: Pipeline,
        upstream: Upstream,
        *,
        split: Split | None = None,
        act: Act | None = None,
    ) -> None:
        self.name = settings.label
        self.match = match = settings.match
        self.destination = settings.describe()
        """What becomes of a request, in words."""
        self.pipeline = pipeline
        self.upstream = upstream
        self.is_answering = settings.redirect is not None or settings.respond is not None
        """Whether it answers itself: no endpoint is asked."""
        self.act = act
        """Called once the plugins have let a request pass; a Response is the answer."""
        self.split = split
        self._rewriting = Rewriting(settings.rewrite, match) if settings.rewrite else None
        self._pattern = parse_pattern(match.pattern) if match.pattern else ()
        self._expression = re.compile(match.host[1:]).search if match.host_names else None
        self.is_plain = not (split or act or self._rewriting)
        """Whether it does nothing but forward to its upstream."""
        self.places = tuple(place_conditions(match))
        """What it asks of host and path."""
        self.conditions = tuple(further_conditions(match))
        """What it asks beyond that."""
        self.checks = tuple(condition.matches for condition in self.conditions)
        self.body_conditions = tuple(body_conditions(match))
        self.asks_body = bool(self.body_conditions)
        self.tally = Tally()

    def take(self, exchange: Exchange) -> None:
        """Make an exchange this route's own. Raises ClientError for a path that cannot be rewritten."""
        exchange.route = self
        exchange.upstream = self.upstream
        if self.split is not None:
            exchange.upstream = self.split.choose(exchange.request)
            exchange.note("split", f"took {exchange.upstream.name}")
        if self._rewriting is not None:
            exchange.forwarded_path = self._rewriting.path(exchange)

    def captures(self, request: Request) -> dict[str, str]:
        """What stands where the match has names: parts of the path as they came, groups of the host."""
        found = captured(self._pattern, b"/" if request.raw_path == b"*" else request.raw_path)
        host = self._expression(request.host.removesuffix(".")) if self._expression is not None else None
        if host is not None:
            found |= {name: text or "" for name, text in host.groupdict().items()}
        return found

    def __repr__(self) -> str:
        return f"<Route {self.name} → {self.upstream.name}>"


def build_route(
    settings: RouteSettings,
    pipeline: Pipeline,
    upstreams: Mapping[str, Upstream],
    chance: random.Random,
    mirror: Act | None = None,
) -> Route:
    """A route from its settings. `mirror` is what copies its requests, if they are to be copied."""
    split, act = None, mirror
    if settings.redirect:
        upstream, act = Upstream.nowhere(), Redirecting(settings.redirect)
    elif settings.respond:
        upstream, act = Upstream.nowhere(), Responding(settings.respond)
    elif settings.split:
        sides = {name: (upstreams[name], weight) for name, weight in settings.split.items()}
        split = Split(sides, sticky_key(settings.sticky), chance, settings.sticky)
        upstream = upstreams[next(iter(settings.split))]
    else:
        upstream = upstreams[settings.upstream]
    return Route(settings, pipeline, upstream, split=split, act=act)


def precedence(match: Match) -> tuple[int, ...]:
    """The place of a match among others: the least comes first, and equals stay in the order of the file.

    1. An exact host, then a wildcard (the longer first), then an expression, then any host.
    2. An exact path; then the pattern or prefix with more literal characters; of as many, a pattern before one that
       takes the rest, and that before a prefix. A slash at the end of a prefix does not count.
    3. More further conditions before fewer.
    """
    count = len(further_conditions(match)) + len(body_conditions(match))
    return (*_host_place(match.host), *_path_place(match), -count)


def _host_place(host: str) -> tuple[int, int]:
    if not host:
        return ANY_HOST, 0
    if host.startswith("~"):
        return HOST_EXPRESSION, 0
    return (WILDCARD_HOST, -len(host)) if host.startswith("*") else (EXACT_HOST, 0)


def _path_place(match: Match) -> tuple[int, int, int]:
    if match.exact is not None:
        return EXACT_PATH, 0, 0
    if match.pattern is None:
        literal = sum(len(segment) + 1 for segment in literal_segments(match.path) if segment)
        return OTHER_PATH, -literal, PREFIX
    segments = pattern_segments(parse_pattern(match.pattern))
    literal = sum(1 if isinstance(segment, Part) else len(segment) + 1 for segment in segments)
    last = segments[-1]
    return OTHER_PATH, -literal, OPEN_PATTERN if isinstance(last, Part) and last.takes_rest else PATTERN
