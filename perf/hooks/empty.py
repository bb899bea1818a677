"""Plugins that do nothing: what many cost together, divided by their number, is the price of being there."""

from __future__ import annotations

from gateway import Exchange, Response, hookimpl

COPIES = 40


class Empty:
    """Takes part in the two busiest phases, and does nothing in either."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        return None

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        return None


# A list of plugins holds each name once: every copy is a class of its own, Empty0, Empty1 and so on.
globals().update({f"Empty{n}": type(f"Empty{n}", (Empty,), {}) for n in range(COPIES)})
