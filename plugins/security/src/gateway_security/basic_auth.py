"""The plugin `basic-auth`: a name and a password with every request (RFC 7617).

Owns the settings, the field `Authorization` and the answers. Does not check passwords (`checking`, `passwords`).
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway import App, Duration, Exchange, FilePath, PluginConfig, Response, Secret, hookimpl
from gateway_security.checking import Busy, Checker
from gateway_security.htpasswd import Users, named_users, parse_users
from gateway_security.own_headers import OwnHeader, OwnHeaders
from gateway_security.personal import keep_private
from gateway_security.refusing import Refusals, credentials_of, is_preflight, shown
from gateway_security.watched_file import WatchedFile

log = logging.getLogger("gateway.security")

NAME = "basic-auth"
MAX_CREDENTIALS = 4096
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]").search


def _check_realm(value: str) -> str:
    if not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
        raise ValueError(f"expected visible ASCII characters without quotes, not {value!r}")
    return value


class BasicAuth:
    """Let in who sends the name and the password of a user, and tell the upstream who it is.

    Passwords are checked by threads, few at once; a pair that was right is known for a while. A name that nobody
    has takes as long as one with a wrong password.
    """

    api = 1

    class Config(PluginConfig):
        """Who the users are, and what the upstream learns of them."""

        file: FilePath | None = None
        """An htpasswd file: a line `NAME:HASH` for each user. Hashes are argon2 (`gateway passwd`) or bcrypt
        (`htpasswd -B`)."""
        watch: Annotated[Duration, Field(gt=0)] = 5.0
        """How often the file is looked at; it is read anew when it has changed. A mistake in it changes nothing."""
        users: dict[str, Secret] = {}
        """Users beside those of the file: name = hash, or where it stands: `{ env = "…" }` or `{ file = "…" }`."""
        realm: Annotated[str, AfterValidator(_check_realm)] = "gateway"
        """What the browser tells people where their password is asked for."""
        user_header: OwnHeader | None = "x-auth-user"
        """The header in which the upstream gets the name; `""` for none. A client's own is taken away."""
        forward_authorization: bool = False
        """Whether the upstream gets the password, too."""
        allow_preflight: bool = False
        """Whether CORS preflights pass without a password: browsers send none with them."""
        remember: Duration = 300.0
        """So long a right pair is not checked again, in each worker; 0 means that each request is checked."""
        max_remembered: Annotated[int, Field(ge=1)] = 10_000
        """Right pairs that each worker remembers."""
        threads: Annotated[int, Field(ge=1, le=64)] = 2
        """Passwords that each worker checks at once. Each takes 50 ms and with argon2 64 MiB."""
        max_waiting: Annotated[int, Field(ge=2)] = 64
        """Checks that may wait in each worker, half of them of one client; more get 503."""

        @model_validator(mode="before")
        @classmethod
        def _no_header(cls, data: object) -> object:
            if isinstance(data, dict) and data.get("user_header") == "":
                return {**data, "user_header": None}
            return data

        @model_validator(mode="after")
        def _check_users(self) -> BasicAuth.Config:
            if self.file is None and not self.users:
                raise ValueError('nobody could come in: name a file, as in file = "users.htpasswd", or users')
            return self

    def __init__(self, config: Config) -> None:
        self._config = config
        try:
            self._named = named_users({name: hashed.get_secret_value() for name, hashed in config.users.items()})
        except ValueError as error:
            raise ValueError(f"users: {error}") from None
        self._file = WatchedFile(config.file, self._read, "file", _count) if config.file else None
        self._checker = Checker(
            self._file.content if self._file else self._named,
            threads=config.threads,
            max_waiting=config.max_waiting,
            seconds=config.remember,
            max_known=config.max_remembered,
        )
        self._header = config.user_header.encode() if config.user_header else b""
        self._own = OwnHeaders([config.user_header] if config.user_header else [])
        self._keeps = config.forward_authorization
        self._allows_preflight = config.allow_preflight
        self._challenge = f'Basic realm="{config.realm}", charset="UTF-8"'
        self._refuse = Refusals(NAME)
        if self._keeps:
            self.on_upstream_response = None  # type: ignore[assignment,method-assign]  # a cache sees the field

    def _read(self, path: Path) -> Users:
        """All users, those of the settings among them. Raises ValueError or OSError."""
        found = parse_users(path.read_bytes())
        twice = found.keys() & self._named.keys()
        if twice:
            raise ValueError(f"user {min(twice).decode()!r} stands in `users`, too; leave one of them out")
        if not found and not self._named:
            raise ValueError("there is no user in it; `gateway passwd NAME` makes a line for one")
        return {**found, **self._named}

    @hookimpl
    async def startup(self, app: App) -> None:
        """Begin to watch the file."""
        if self._file is not None:
            app.spawn(self._watch())

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """Let go of the threads."""
        self._checker.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._config.watch)
            try:
                await self.look()
            except Exception:
                log.exception("%s: the users stay as they were", NAME)

    async def look(self) -> None:
        """Take up the file if it has changed; one that cannot be used is spoken of, and changes nothing."""
        if self._file is not None and await asyncio.to_thread(self._file.look):
            self._checker.replace(self._file.content)

    # -- exchanges ---------------------------------------------------------------------------------------------

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Let the user in, or answer 401."""
        # hot: the pair is known
        headers = exchange.request.headers
        self._own.clear(headers)
        given, count = credentials_of(headers.raw)
        if count != 1:
            if self._allows_preflight and is_preflight(exchange.request):
                return None
            why = f"{count} fields Authorization" if count else "no credentials"
            return self._refuse(exchange, 401, why, self._challenge)
        digest = self._checker.digest(given)
        user = self._checker.known(digest)
        if user is None:
            return self._check(exchange, digest, given)
        self._let_in(exchange, user)
        return None

    def _let_in(self, exchange: Exchange, user: bytes) -> None:
        raw = exchange.request.headers.raw
        if not self._keeps:
            raw[:] = [field for field in raw if field[0] != b"authorization"]
        if self._header:
            raw.append((self._header, user))
        exchange.user = name = user.decode()
        exchange.note(NAME, f"user {name}")

    async def _check(self, exchange: Exchange, digest: bytes, given: bytes) -> Response | None:
        pair = read_credentials(given)
        if pair is None:
            return self._refuse(exchange, 401, "credentials that are none", self._challenge)
        name, password = pair
        try:
            user = await self._checker.check(digest, name, password, exchange.request.client)
        except Busy:
            return self._refuse(exchange, 503, "too many passwords wait to be checked")
        if user is None:
            return self._refuse(exchange, 401, f"wrong name or password, as {shown(name)}", self._challenge)
        self._let_in(exchange, user)
        return None

    @hookimpl(trylast=True)
    def on_upstream_response(self, exchange: Exchange, response: Response) -> None:
        """Before a cache sees it: what was made for one user is for nobody else, unless the upstream allows it."""
        keep_private(response)

    def __repr__(self) -> str:
        return f"<BasicAuth: {self._checker!r}>"


def _count(users: Users) -> str:
    """What the log says of users: nothing that is theirs."""
    return f"{len(users)} users"


def read_credentials(value: bytes) -> tuple[bytes, bytes] | None:
    """Name and password from `Basic …`; None if that is not what it is (RFC 7617 2)."""
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic" or len(encoded) > MAX_CREDENTIALS:
        return None
    try:
        pair = binascii.a2b_base64(encoded.strip(), strict_mode=True)
    except binascii.Error:
        return None
    name, colon, password = pair.partition(b":")
    if not colon or _CONTROLS(pair):
        return None
    return name, password
