"""The plugin `jwt`: a signed token with every request (RFC 7519), as bearer (RFC 6750) or in a cookie.

Owns the settings, where a token is found, and the answers. Does not check tokens (`tokens`) or get keys (`jwks`).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from cachetools import LRUCache

from gateway import App, Exchange, Headers, Response, hookimpl
from gateway_security.jwks import KeySource, file_reader, url_reader
from gateway_security.jwt_config import Settings
from gateway_security.jwt_keys import Key, check_libraries, keys_in, public_key, secret_key
from gateway_security.own_headers import OwnHeaders
from gateway_security.personal import keep_private
from gateway_security.refusing import Refusals, credentials_of, is_preflight, shown
from gateway_security.tokens import BadToken, Insufficient, Rules, UnknownKey, find_claim, header_value

NAME = "jwt"


class Admitted(NamedTuple):
    """What is known of a token that was valid."""

    until: float
    fields: list[tuple[bytes, bytes]]
    subject: str


class Jwt:
    """Let on whose token is signed by a known key, holds now, is for us and says what is wanted.

    Tokens that were valid are known by a hash for a while, at most until they expire or the keys change.
    """

    api = 1
    Config = Settings

    def __init__(self, config: Settings, clock: Callable[[], float] = time.time) -> None:
        check_libraries()
        self._config = config
        self._clock = clock
        self._cookie = config.cookie.encode()
        self._keeps = config.forward_token
        self._allows_preflight = config.allow_preflight
        self._rules = Rules(
            algorithms=config.algorithms,
            issuers=config.issuers,
            audiences=config.audiences,
            leeway=config.leeway,
            required=config.require,
            scopes=config.scopes,
            claims=config.claims,
        )
        self._known: LRUCache[bytes, Admitted] = LRUCache(config.max_remembered)
        self._fixed = self._fixed_keys()
        self._source = self._key_source()
        self._headers = [(name.encode(), claim) for name, claim in config.headers.items()]
        self._own = OwnHeaders(config.headers)
        self._hash = hashlib.blake2b(key=os.urandom(32), digest_size=16)
        self._refuse = Refusals(NAME)
        self._realm = f'Bearer realm="{config.realm}"'
        if self._keeps and not self._cookie:
            self.on_upstream_response = None  # type: ignore[assignment,method-assign]  # a cache sees Authorization

    def _fixed_keys(self) -> tuple[Key, ...]:
        config = self._config
        keys: list[Key] = []
        allowed = config.algorithms
        try:
            if config.secret is not None:
                keys.append(secret_key(config.secret.get_secret_value(), allowed))
        except ValueError as error:
            raise ValueError(f"secret: {error}") from None
        for number, pem in enumerate(config.public_keys):
            try:
                keys.append(public_key(pem.get_secret_value(), allowed))
            except ValueError as error:
                raise ValueError(f"public_keys[{number}]: {error}") from None
        return tuple(keys)

    def _key_source(self) -> KeySource | None:
        config = self._config
        if config.jwks_file is not None:
            read = file_reader(config.jwks_file)
        elif config.jwks_url:
            read = url_reader(config.jwks_url, config.jwks_timeout)
        else:
            return None

        def parse(document: bytes) -> tuple[Key, ...]:
            return keys_in(document, config.algorithms)

        source = KeySource(
            read,
            parse,
            pause=config.jwks_pause,
            patience=config.jwks_timeout,
            changed=self._known.clear,
        )
        if config.jwks_file is not None:
            try:
                source.load()
            except OSError as error:
                raise ValueError(f"jwks_file: {config.jwks_file} cannot be read: {error.strerror}") from None
            except ValueError as error:
                raise ValueError(f"jwks_file: {config.jwks_file}: {error}") from None
        return source

    @hookimpl
    async def startup(self, app: App) -> None:
        """Get the keys, and again from time to time. An issuer that is away does not keep us from starting."""
        if self._source is not None:
            await self._source.refresh()
            app.spawn(self._source.run(self._config.jwks_refresh))

    # -- exchanges ---------------------------------------------------------------------------------------------

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Let the bearer on, or answer 401 or 403."""
        # hot: the token is known
        headers = exchange.request.headers
        self._own.clear(headers)
        given, count = credentials_of(headers.raw)
        if count > 1:
            why = f"{count} fields Authorization"
            return self._refuse(exchange, 400, why, f'{self._realm}, error="invalid_request"')
        if given[:7].lower() == b"bearer ":
            token = given[7:].strip(b" ")
        elif not self._cookie or not (token := self._token_in_cookie(headers)):
            return self._without_token(exchange)
        key = self._hash.copy()
        key.update(token)
        known = self._known.get(key.digest())
        if known is not None and known.until > self._clock():
            self._let_on(exchange, known)
            return None
        return self._check(exchange, token, key.digest())

    def _token_in_cookie(self, headers: Headers) -> bytes:
        """The cookie's value; empty if there is none, and of several, of which the upstream might take another."""
        found = [
            value
            for field in headers.get_all(b"cookie")
            for name, _, value in (part.strip().partition(b"=") for part in field.split(b";"))
            if name == self._cookie
        ]
        return found[0] if len(found) == 1 else b""

    def _without_token(self, exchange: Exchange) -> Response | None:
        if self._allows_preflight and is_preflight(exchange.request):
            return None
        return self._refuse(exchange, 401, "no token", self._realm)

    def _let_on(self, exchange: Exchange, admitted: Admitted) -> None:
        headers = exchange.request.headers
        if not self._keeps:
            self._take_token(headers)
        headers.raw += admitted.fields
        exchange.user = admitted.subject
        exchange.note(NAME, f"token of {admitted.subject!r}")

    def _take_token(self, headers: Headers) -> None:
        headers.remove(b"authorization")
        if self._cookie:
            kept = [_without(self._cookie, value) for value in headers.get_all(b"cookie")]
            headers.remove(b"cookie")
            headers.raw += [(b"cookie", value) for value in kept if value]

    def _check(self, exchange: Exchange, token: bytes, key: bytes) -> Response | Awaitable[Response | None] | None:
        try:
            return self._judge(exchange, token, key)
        except UnknownKey as error:
            if self._source is not None:
                return self._check_with_news(exchange, token, key, self._source)
            return self._invalid(exchange, error)

    async def _check_with_news(
        self, exchange: Exchange, token: bytes, key: bytes, source: KeySource
    ) -> Response | None:
        """Once more, with keys that may have been published since."""
        await source.refresh()
        try:
            return self._judge(exchange, token, key)
        except UnknownKey as error:
            if not source.keys:
                return self._refuse(exchange, 503, "there are no keys yet to check tokens with")
            return self._invalid(exchange, error)

    def _judge(self, exchange: Exchange, token: bytes, key: bytes) -> Response | None:
        """Check the token with the keys at hand. Raises UnknownKey."""
        keys = self._fixed if self._source is None else self._fixed + self._source.keys
        try:
            claims = self._rules.verify(token, keys)
            fields = self._fields(claims)
            self._rules.authorize(claims)
        except UnknownKey:
            raise
        except BadToken as error:
            return self._invalid(exchange, error)
        except Insufficient as error:
            subject = shown(str(claims.get("sub")).encode("utf-8", "replace"))
            scope = f', scope="{" ".join(self._config.scopes)}"' if self._config.scopes else ""
            challenge = f'{self._realm}, error="insufficient_scope"{scope}'
            return self._refuse(exchange, 403, f"the token of {subject}: {error}", challenge)
        until = self._clock() + self._config.remember
        if "exp" in claims:
            until = min(until, int(claims["exp"]) + self._config.leeway)
        admitted = Admitted(until, fields, str(claims.get("sub", "")))
        if self._config.remember:
            self._known[key] = admitted
        self._let_on(exchange, admitted)
        return None

    def _fields(self, claims: dict[str, Any]) -> list[tuple[bytes, bytes]]:
        fields = [(name, header_value(find_claim(claims, claim))) for name, claim in self._headers]
        return [(name, value) for name, value in fields if value is not None]

    def _invalid(self, exchange: Exchange, error: BadToken) -> Response:
        return self._refuse(exchange, 401, f"the token: {error}", f'{self._realm}, error="invalid_token"')

    @hookimpl(trylast=True)
    def on_upstream_response(self, exchange: Exchange, response: Response) -> None:
        """Before a cache sees it: what was made for one bearer is for nobody else, unless the upstream says so."""
        if exchange.request.headers.get(b"authorization") is None:
            keep_private(response)

    def __repr__(self) -> str:
        return f"<Jwt: {len(self._fixed)} fixed keys, {self._source!r}, {len(self._known)} tokens known>"


def _without(cookie: bytes, field: bytes) -> bytes:
    """A Cookie field without one of its cookies."""
    parts = [part.strip() for part in field.split(b";")]
    return b"; ".join(part for part in parts if part.partition(b"=")[0] != cookie)
