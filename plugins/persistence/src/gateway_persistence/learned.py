"""The method `learned`: the application's cookie is the session's key, from the response that sets it on.

A value that a request brings and that is not known (the store has lost it) is learned, too, from whoever answers.
"""

from __future__ import annotations

from gateway import Exchange, Response
from gateway_persistence.cookie_fields import cookie_value, set_cookie_value


class LearnedCookie:
    """A cookie of the application."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    def of_request(self, exchange: Exchange) -> bytes | None:
        """The value that the client sent, unless it is empty."""
        return cookie_value(exchange.request.headers.raw, self._name) or None

    def of_response(self, response: Response) -> bytes | None:
        """The value that the application sets; an empty one takes the cookie back."""
        return set_cookie_value(response.headers.raw, self._name) or None


__all__ = ["LearnedCookie"]
