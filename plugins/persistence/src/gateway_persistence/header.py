"""The method `header`: the value of a request header is the session's key."""

from __future__ import annotations

from gateway import Exchange, Response


class HeaderKey:
    """A header of the request; of several with its name the first."""

    def __init__(self, name: str) -> None:
        self._name = name.lower().encode()

    def of_request(self, exchange: Exchange) -> bytes | None:
        """The value, unless it is empty."""
        # hot: l7-balancer
        wanted = self._name
        for name, value in exchange.request.headers.raw:
            if name == wanted:
                return value.strip(b" \t") or None
        return None

    def of_response(self, response: Response) -> bytes | None:
        """Responses have no say."""
        return None


__all__ = ["HeaderKey"]
