"""The routes of one host: exact paths in a dict, prefixes and patterns in a tree of segments.

A request walks down the tree once, so what it costs goes with the depth of its path and not with the number of
routes. Does not know hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias

from gateway.config.templates import Part, parse_pattern
from gateway.model import Request
from gateway.routing.body import SeenBody
from gateway.routing.paths import literal_segments, matched_path, pattern_segments
from gateway.routing.route import Route


class Wanting(Enum):
    """That the answer needs something more."""

    BODY = "body"


WANTS_BODY: Final = Wanting.BODY
"""A route could match that asks for what is in the body: read it, and ask again."""

Found: TypeAlias = Route | Literal[Wanting.BODY] | None

Ranked: TypeAlias = tuple[int, Route]
"""A route and its place in the order of its table."""


class _Node:
    """One segment of the tree, and what ends here."""

    __slots__ = ("below", "chain", "ending", "named", "open", "prefixes")

    def __init__(self) -> None:
        self.below: dict[bytes, _Node] = {}
        self.named: _Node | None = None
        """Where any segment that is not empty leads."""
        self.prefixes: list[Ranked] = []
        self.chain: tuple[Ranked, ...] = ()
        """The prefixes that end here or above, the longest first."""
        self.ending: list[Ranked] = []
        """Patterns that have their last segment here."""
        self.open: list[Ranked] = []
        """Patterns that take whatever follows."""

    def link(self, above: tuple[Ranked, ...] = ()) -> None:
        """Make the chains, here and below."""
        self.chain = (*self.prefixes, *above)
        for child in self.below.values():
            child.link(self.chain)


class PathTable:
    """Finds the routes of one host by path; they are given in the order of precedence."""

    __slots__ = ("_depth", "_exact", "_has_patterns", "_root")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[bytes, list[Ranked]] = {}
        self._root = _Node()
        self._depth = 0
        self._has_patterns = False
        for rank, route in enumerate(routes):
            self._add(rank, route)
        self._root.link()

    def _add(self, rank: int, route: Route) -> None:
        match = route.match
        if match.exact is not None:
            self._exact.setdefault(matched_path(match.exact.encode()), []).append((rank, route))
        elif match.pattern is not None:
            self._has_patterns = True
            pattern = pattern_segments(parse_pattern(match.pattern))
            last = pattern[-1]
            if isinstance(last, Part) and last.takes_rest:
                self._node(pattern[:-1]).open.append((rank, route))
            else:
                self._node(pattern).ending.append((rank, route))
        else:
            self._node([segment for segment in literal_segments(match.path) if segment]).prefixes.append(
                (rank, route)
            )

    def _node(self, segments: Sequence[bytes | Part]) -> _Node:
        self._depth = max(self._depth, len(segments))
        node = self._root
        for segment in segments:
            if not isinstance(segment, Part):
                node = node.below.setdefault(segment, _Node())
            elif node.named is None:
                node.named = node = _Node()
            else:
                node = node.named
        return node

    def find(self, path: bytes, request: Request, body: SeenBody | None) -> Found:
        """The first route whose path and further conditions fit."""
        # hot: plain
        if self._exact and path in self._exact:
            found = first_fit(self._exact[path], request, body)
            if found is not None:
                return found
        # Nothing of the tree lies deeper, so what follows may stay in one piece.
        segments = path.split(b"/", self._depth + 1)
        if self._has_patterns:
            ranked: list[Ranked] = []
            _gather(self._root, segments, 1, ranked)
            ranked.sort()
            return first_fit(ranked, request, body)
        node = self._root
        for segment in segments[1:]:
            child = node.below.get(segment)
            if child is None:
                break
            node = child
        return first_fit(node.chain, request, body)


def _gather(node: _Node, segments: list[bytes], place: int, found: list[Ranked]) -> None:
    """Add what is at this node and below, as far as the segments from `place` on lead."""
    found += node.prefixes
    if place == len(segments):
        found += node.ending
        return
    found += node.open
    segment = segments[place]
    child = node.below.get(segment)
    if child is not None:
        _gather(child, segments, place + 1, found)
    if node.named is not None and segment:
        _gather(node.named, segments, place + 1, found)


def first_fit(ranked: Sequence[Ranked], request: Request, body: SeenBody | None) -> Found:
    """The first of some routes whose further conditions fit."""
    # hot: plain
    for _, route in ranked:
        for check in route.checks:
            if not check(request):
                break
        else:
            if not route.asks_body:
                return route
            if body is None:
                if request.has_body:
                    return WANTS_BODY
            elif body.data is not None and all(condition.matches(body) for condition in route.body_conditions):
                return route
    return None
