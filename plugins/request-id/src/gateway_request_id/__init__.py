"""The plugin `request-id`: one id for each exchange, shared by the client, the endpoint and the log."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from gateway import Exchange, Headers, PluginConfig, Request, Response, hookimpl

__all__ = ["RequestId"]

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}").fullmatch


class RequestId:
    """Give every exchange an id, and send it with the request and with the response.

    The id is `exchange.id`, so error pages, the gateway's log and the access log show the same one. An id that
    a client sends replaces it if `accept` allows that and it is well-formed: 1 to 128 letters, digits and
    `._~+/=:@-`. What is not accepted is not passed on either.
    """

    api = 1

    class Config(PluginConfig):
        """Which header carries the id, and whose id is believed."""

        header: str = "x-request-id"
        """The header that carries the id, in the request and in the response."""
        accept: Literal["never", "trusted", "always"] = "trusted"
        """Whose id to keep: nobody's, that of a peer in `trusted_proxies`, or every client's."""
        respond: bool = True
        """Whether the client gets the id, too."""

        @field_validator("header")
        @classmethod
        def _check_header(cls, value: str) -> str:
            Headers().add(value, "")
            return value.lower()

    def __init__(self, config: Config) -> None:
        self._header = config.header.encode()
        self._accept = config.accept
        if not config.respond:
            self.on_response = None  # type: ignore[assignment,method-assign]  # takes the hook away

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Settle the id and put it in the place of whatever the client sent."""
        # hot: l7-balancer
        request, header = exchange.request, self._header
        for name, given in request.headers.raw:
            if name == header:
                if _WELL_FORMED(given) and self._is_accepted(exchange, request):
                    exchange.id = given.decode()
                request.headers.set(header, exchange.id)
                return
        request.headers.raw.append((header, exchange.id.encode()))

    def _is_accepted(self, exchange: Exchange, request: Request) -> bool:
        return self._accept == "always" or (self._accept == "trusted" and exchange.app.is_trusted(request))

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Tell the client the id, over what the endpoint may have said."""
        # hot: l7-balancer
        header, value = self._header, exchange.id
        for name, _ in response.headers.raw:
            if name == header:
                response.headers.set(header, value)
                return
        response.headers.raw.append((header, value.encode()))
