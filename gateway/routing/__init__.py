"""Find the route of a request, and say what becomes of it.

This file re-exports. `router` finds by host, `table` by path; `route` holds; `conditions` look at one thing of a
request each; `paths` knows the form in which paths are matched; `body` looks into bodies.
"""

from gateway.routing.body import SeenBody, read_ahead
from gateway.routing.paths import matched_path
from gateway.routing.route import Route
from gateway.routing.router import WANTS_BODY, Router, Verdict

__all__ = ["WANTS_BODY", "Route", "Router", "SeenBody", "Verdict", "matched_path", "read_ahead"]
