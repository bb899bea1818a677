"""The plugin `headers`: set, add and remove headers of requests and responses."""

from __future__ import annotations

from gateway import Exchange, PluginConfig, Response, hookimpl
from gateway_headers.changes import Changes
from gateway_headers.config import RequestChanges, ResponseChanges
from gateway_headers.template import ON_REQUEST, ON_RESPONSE

__all__ = ["ChangeHeaders", "RequestChanges", "ResponseChanges"]


class ChangeHeaders:
    """Set, add and remove headers, in this order: remove, set, add.

    Values may hold names such as `{client}` or `{request_id}`; a literal brace is doubled. What the client sent
    can never end a header. Every response is changed, those that the gateway made included.
    """

    api = 1

    class Config(PluginConfig):
        """The changes, each way."""

        request: RequestChanges = RequestChanges()
        """Changes to what the endpoint gets."""
        response: ResponseChanges = ResponseChanges()
        """Changes to what the client gets."""

    def __init__(self, config: Config) -> None:
        self._request = Changes(config.request, ON_REQUEST)
        self._response = Changes(config.response, ON_RESPONSE)
        # Takes the hook away: even one that does nothing costs each exchange.
        if self._request.is_empty:
            self.on_request = None  # type: ignore[assignment,method-assign]
        if self._response.is_empty:
            self.on_response = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Change what the endpoint gets."""
        # hot: l7-balancer
        self._request.apply(exchange.request.headers, exchange)

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Change what the client gets."""
        # hot: l7-balancer
        self._response.apply(response.headers, exchange)
