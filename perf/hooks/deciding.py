"""A third party's hook in one file: who lacks the right token is turned away."""

from __future__ import annotations

from gateway import Exchange, Response, hookimpl


class Deciding:
    """403 for every request without `x-token: open`."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        if exchange.request.headers.get("x-token") == b"open":
            return None
        return Response(403)
