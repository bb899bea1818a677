"""Ten plugins that do nothing: what they cost together, divided by ten, is the price of being there."""

from __future__ import annotations

from gateway import Exchange, Response, hookimpl


class Empty0:
    """Takes part in the two busiest phases, and does nothing in either."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        return None

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        return None


class Empty1(Empty0): ...


class Empty2(Empty0): ...


class Empty3(Empty0): ...


class Empty4(Empty0): ...


class Empty5(Empty0): ...


class Empty6(Empty0): ...


class Empty7(Empty0): ...


class Empty8(Empty0): ...


class Empty9(Empty0): ...
