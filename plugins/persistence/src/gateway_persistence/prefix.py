"""The method `prefix`: the application's own cookie carries the endpoint's opaque id before its value.

    Set-Cookie: JSESSIONID=8f3a…; Path=/          what the endpoint said
    Set-Cookie: JSESSIONID=gw~5b0c…~8f3a…; Path=/  what the client gets, and sends back
    Cookie: JSESSIONID=8f3a…                       what the endpoint gets

Owns what is put there and taken away. Keeps no state of sessions; lifetime and attributes are the application's.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from gateway import App, Endpoint, Exchange, Response, StateKey, hookimpl
from gateway_persistence.cookie_fields import Fields, change_cookies, change_set_cookies
from gateway_persistence.endpoint_ids import EndpointIds
from gateway_persistence.keys import ID_CHARACTERS, KeyRing
from gateway_persistence.plugin import Persistence, served_by
from gateway_persistence.settings import Settings

MARK = b"gw~"
END = b"~"
PREFIX_CHARACTERS = len(MARK) + ID_CHARACTERS + len(END)


class PrefixSessions(Persistence, kinds=("prefix",)):
    """Bind a session to an endpoint by what we write into the application's cookie.

    If the endpoint cannot serve, one of the others is taken by the hash of the cookie's value: always the same one,
    until the application sets its cookie anew and with that moves the session for good.
    """

    def __init__(self, config: Settings) -> None:
        self._name = config.name.encode()
        self._ring = KeyRing(config.secrets)
        self._ids = EndpointIds(self._ring)
        self._state: StateKey[tuple[bytes, bytes]] = StateKey("persistence")
        """The id and the application's value of the first cookie with a prefix."""

    @hookimpl
    def startup(self, app: App) -> None:
        """Share a random secret if none is set."""
        self._ring.open(app)

    @hookimpl
    def shutdown(self, app: App) -> None:
        """No longer listen for the secret."""
        self._ring.close()

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Give the endpoint the cookie as it has set it."""
        # hot: l7-balancer
        fields = exchange.request.headers.raw
        for name, value in fields:
            if name == b"cookie" and MARK in value:
                self._read(exchange, fields)
                return

    def bound(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint whose id came with the cookie."""
        # hot: l7-balancer
        found = exchange.get(self._state)
        known = found and self._ids.of(exchange.upstream).by_id.get(found[0])
        return known[0] if known else None

    def instead(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """For a session whose endpoint cannot serve: the same other one each time (rendezvous hashing)."""
        found = exchange.get(self._state)
        if found is None or not endpoints:
            return None
        value = found[1]
        return max(endpoints, key=lambda endpoint: blake2b(value + endpoint.name.encode(), digest_size=8).digest())

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Write the endpoint into the cookie, if the application sets it."""
        # hot: l7-balancer
        fields = response.headers.raw
        for name, value in fields:
            if name == b"set-cookie" and self._name in value:
                self._write(exchange, fields)
                return

    def _read(self, exchange: Exchange, fields: Fields) -> None:
        found: list[tuple[bytes, bytes]] = []

        def without_prefix(value: bytes) -> bytes:
            if not value.startswith(MARK) or value[PREFIX_CHARACTERS - 1 : PREFIX_CHARACTERS] != END:
                return value
            rest = value[PREFIX_CHARACTERS:]
            found.append((value[len(MARK) : PREFIX_CHARACTERS - 1], rest))
            return rest

        change_cookies(fields, self._name, without_prefix)
        if found:
            exchange[self._state] = found[0]

    def _write(self, exchange: Exchange, fields: Fields) -> None:
        endpoint = served_by(exchange)
        opaque = endpoint and self._ids.of(exchange.upstream).ids.get(endpoint)
        if opaque:
            prefix = MARK + opaque + END
            # An empty value is how applications take a cookie back.
            change_set_cookies(fields, self._name, lambda value: prefix + value if value else value)

    def __repr__(self) -> str:
        return f"<PrefixSessions {self._name.decode()}>"


__all__ = ["PrefixSessions"]
