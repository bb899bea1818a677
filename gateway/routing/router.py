"""Find the route of a request: the most specific host, then path, then the one with more conditions.

Owns the choice of the host's table, and the account of why the other routes did not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from gateway.config.routes import Match
from gateway.model import Request
from gateway.routing.body import SeenBody
from gateway.routing.paths import matched_path
from gateway.routing.route import Route, precedence
from gateway.routing.table import WANTS_BODY, Found, PathTable

MAX_HOSTS = 4096
"""Hosts whose tables are remembered, so that expressions are tried once a host and not once a request."""


class Verdict(NamedTuple):
    """What became of one route for one request."""

    route: Route
    reason: str
    """`taken`, `another route comes before it`, or what was wanted and not found."""


class Router:
    """The routes of a gateway, in the order of `precedence`."""

    __slots__ = (
        "_any_host", "_exact", "_expressions", "_has_hosts", "_of_host", "_of_routes", "_suffixes", "only",
        "routes",
    )  # fmt: skip

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(sorted(routes, key=lambda route: precedence(route.match)))
        groups: dict[str, list[Route]] = {}
        for route in self.routes:
            groups.setdefault(route.match.host, []).append(route)
        self._has_hosts = any(groups)
        self._any_host = (PathTable(groups.pop("", [])),)
        expressions = [route for route in self.routes if route.match.host.startswith("~")]
        self._expressions = [(re.compile(route.match.host[1:]).search, route) for route in expressions]
        tables = {host: PathTable(group) for host, group in groups.items() if not host.startswith("~")}
        self._suffixes = {host[1:]: table for host, table in tables.items() if host.startswith("*")}
        self._exact = {host: table for host, table in tables.items() if not host.startswith("*")}
        self._of_host = lru_cache(MAX_HOSTS)(self._tables_of)
        self._of_routes = lru_cache(MAX_HOSTS)(PathTable)
        is_single = len(self.routes) == 1 and self.routes[0].match == Match() and self.routes[0].is_plain
        self.only: Route | None = self.routes[0] if is_single else None
        """The one route that forwards everything, if that is all there is."""

    def match(self, request: Request, body: SeenBody | None = None) -> Found:
        """The route of a request, None, or WANTS_BODY if that depends on its body, which was not given."""
        # hot: plain
        if self.only is not None:
            return self.only
        raw = request.raw_path
        path = b"/" if raw == b"*" else matched_path(raw)
        for table in self._of_host(request.host) if self._has_hosts else self._any_host:
            found = table.find(path, request, body)
            if found is not None:
                return found
        return None

    def _tables_of(self, host: str) -> tuple[PathTable, ...]:
        """The tables in which a host's routes are, the most specific first."""
        host = host.removesuffix(".")
        found = [self._exact[host]] if host in self._exact else []
        dot = host.find(".")
        while dot >= 0:
            if dot and host[dot:] in self._suffixes:
                found.append(self._suffixes[host[dot:]])
            dot = host.find(".", dot + 1)
        fitting = tuple(route for search, route in self._expressions if search(host))
        if fitting:
            found.append(self._of_routes(fitting))
        return (*found, *self._any_host)

    def explain(self, request: Request, body: SeenBody | bytes | None = None) -> list[Verdict]:
        """What became of each route, the nearest first: the one taken, those behind it, those that lacked least.

        Asks every condition of every route, one by one: for people, not for traffic.
        """
        body = SeenBody(body) if isinstance(body, bytes) else body
        is_taken = False
        judged: list[tuple[int, Verdict]] = []
        for route in self.routes:
            lacking = reasons(route, request, body)
            reason = "; ".join(lacking)
            if not lacking:
                reason = "another route comes before it" if is_taken else "taken"
                is_taken = True
            judged.append((len(lacking), Verdict(route, reason)))
        judged.sort(key=lambda item: item[0])
        return [verdict for _, verdict in judged]


def reasons(route: Route, request: Request, body: SeenBody | None) -> list[str]:
    """What a route wanted and did not find."""
    asked = (*route.places, *route.conditions)
    lacking = [condition.describe() for condition in asked if not condition.matches(request)]
    for wanted in route.body_conditions:
        subject = wanted.describe().partition(": ")[0]
        if body is None:
            lacking.append(f"{subject}: not looked at without a body")
        elif body.data is None:
            lacking.append(f"{subject}: the body is over limits.match_body")
        elif not wanted.matches(body):
            lacking.append(wanted.describe())
    return lacking


__all__ = ["WANTS_BODY", "Router", "Verdict", "reasons"]
