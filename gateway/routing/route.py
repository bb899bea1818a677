"""A route: its match taken apart into conditions, its compiled pipeline, its upstream, and its place in the order.

Does not look for routes (`router`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.routes import Match
from gateway.config.routes import Route as RouteSettings
from gateway.config.templates import Part, parse_pattern
from gateway.pipeline import Pipeline
from gateway.routing.body import body_conditions
from gateway.routing.conditions import further_conditions, place_conditions
from gateway.routing.paths import literal_segments, pattern_segments

if TYPE_CHECKING:
    from gateway.upstream.group import Upstream

EXACT_HOST, WILDCARD_HOST, HOST_EXPRESSION, ANY_HOST = range(4)
EXACT_PATH, OTHER_PATH = range(2)
PATTERN, OPEN_PATTERN, PREFIX = range(3)


class Route:
    """A match, its compiled pipeline and its upstream; immutable."""

    __slots__ = (
        "asks_body", "body_conditions", "checks", "conditions", "match", "name", "pipeline", "places", "upstream",
    )  # fmt: skip

    def __init__(self, settings: RouteSettings, pipeline: Pipeline, upstream: Upstream) -> None:
        self.name = settings.label
        self.match = settings.match
        self.pipeline = pipeline
        self.upstream = upstream
        self.places = tuple(place_conditions(settings.match))
        """What it asks of host and path."""
        self.conditions = tuple(further_conditions(settings.match))
        """What it asks beyond that."""
        self.body_conditions = tuple(body_conditions(settings.match))
        self.asks_body = bool(self.body_conditions)
        self.checks = tuple(condition.matches for condition in self.conditions)

    def __repr__(self) -> str:
        return f"<Route {self.name} → {self.upstream.name}>"


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
