"""Find the route of a request: by host, then by the longest path prefix.

Owns precedence and the path as it is matched. Does not change what is forwarded: that stays byte for byte.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from gateway.config import model as config
from gateway.model import Request
from gateway.pipeline import Pipeline

if TYPE_CHECKING:
    from gateway.upstream.group import Upstream


class Route:
    """A match, its compiled pipeline and its upstream; immutable."""

    __slots__ = ("match", "name", "pipeline", "upstream")

    def __init__(self, settings: config.Route, pipeline: Pipeline, upstream: Upstream) -> None:
        self.name = settings.label
        self.match = settings.match
        self.pipeline = pipeline
        self.upstream = upstream

    def __repr__(self) -> str:
        return f"<Route {self.name} → {self.upstream.name}>"


class Router:
    """Routes by host and path. The most specific host wins, then the longest path, then the order in the file."""

    __slots__ = ("_any_host", "_exact", "_suffixes", "only", "routes")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        hosts: dict[str, list[Route]] = {}
        for route in self.routes:
            hosts.setdefault(route.match.host, []).append(route)
        tables = {host: _PathTable(group) for host, group in hosts.items()}
        self._any_host = tables.pop("", _PathTable([]))
        wildcards = [host for host in tables if host.startswith("*.")]
        self._suffixes = [(host[1:], tables.pop(host)) for host in sorted(wildcards, key=len, reverse=True)]
        self._exact = tables
        is_single = len(self.routes) == 1 and self.routes[0].match == config.Match()
        self.only: Route | None = self.routes[0] if is_single else None
        """The one route that matches everything, if that is all there is."""

    def match(self, request: Request) -> Route | None:
        """The route of a request, or None."""
        # hot: plain
        if self.only is not None:
            return self.only
        path = b"/" if request.raw_path == b"*" else matched_path(request.raw_path)
        if self._exact or self._suffixes:
            host = request.host
            table = self._exact.get(host)
            if table is not None and (route := table.find(path)) is not None:
                return route
            for suffix, wildcard in self._suffixes:
                if host.endswith(suffix) and (route := wildcard.find(path)) is not None:
                    return route
        return self._any_host.find(path)


class _PathTable:
    """The path prefixes of one host, longest first."""

    __slots__ = ("_prefixes",)

    def __init__(self, routes: list[Route]) -> None:
        self._prefixes: list[tuple[bytes, bytes, Route]] = []
        for route in routes:
            whole = matched_path(route.match.path.encode()).rstrip(b"/")
            self._prefixes.append((whole, whole + b"/", route))
        self._prefixes.sort(key=lambda prefix: len(prefix[0]), reverse=True)

    def find(self, path: bytes) -> Route | None:
        for whole, prefix, route in self._prefixes:
            if path.startswith(prefix) or path == whole:
                return route
        return None


def matched_path(raw_path: bytes) -> bytes:
    """A path in the one form in which it is matched: decoded, without dot segments or doubled slashes.

    Otherwise `/%61dmin`, `//admin` or `/x/../admin` would pass by the plugins of a route for `/admin`.
    An encoded slash stays encoded: it separates nothing (RFC 3986 2.2).
    """
    # hot: plain
    if b"%" not in raw_path and b"//" not in raw_path and b"/." not in raw_path:
        return raw_path
    kept = raw_path.replace(b"%2f", b"%252F").replace(b"%2F", b"%252F")
    decoded = unquote_to_bytes(kept)
    normal = posixpath.normpath(b"/" + decoded.lstrip(b"/"))
    return normal + b"/" if decoded.endswith((b"/", b"/.", b"/..")) and normal != b"/" else normal
