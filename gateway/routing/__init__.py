"""Find the route of a request, and say what becomes of it.

This file re-exports. `router` finds by host, `table` by path; `route` holds a route; `conditions` look at one thing
of a request each, `body` into bodies; `actions` are what becomes of a request; `paths` knows how paths are
matched.
"""

from gateway.routing.body import SeenBody, read_ahead
from gateway.routing.paths import matched_path
from gateway.routing.route import Route, build_route
from gateway.routing.router import WANTS_BODY, Router, Verdict

__all__ = ["WANTS_BODY", "Route", "Router", "SeenBody", "Verdict", "build_route", "matched_path", "read_ahead"]
