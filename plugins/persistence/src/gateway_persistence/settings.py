"""The settings of the plugin, and which of them belong together.

Owns names, defaults and their checks. Does not act on anything.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from gateway import Duration, Headers, KeyPrefix, PluginConfig, Secret

MIN_SECRET_CHARACTERS = 16

_DOMAIN = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*").fullmatch
_PATH = re.compile(r"/[!-:<-~]*").fullmatch
_STORE_SCHEMES = {"redis": ("redis", "rediss", "unix"), "memcached": ("memcached",)}
_STORE_URLS = {"redis": "redis://127.0.0.1:6379", "memcached": "memcached://127.0.0.1:11211"}
_NAMED_BY = {
    "prefix": 'the application\'s cookie, as in name = "JSESSIONID"',
    "learned": 'the application\'s cookie, as in name = "JSESSIONID"',
    "header": 'a request header, as in name = "x-session-id"',
}


def _named(value: object) -> object:
    return {"use": value} if isinstance(value, str) else value


class StoreSettings(PluginConfig):
    """Where the methods `learned`, `header` and `source` keep which session belongs to which endpoint."""

    use: Literal["memory", "redis", "memcached"] = "memory"
    """`memory`: in the workers, which tell each other; lost when the whole gateway restarts. `redis` (or Valkey)
    and `memcached`: shared by several gateways."""
    url: Secret | None = None
    """`redis://HOST:PORT/DATABASE`, `rediss://…` (TLS) or `unix:///run/redis.sock`; `memcached://HOST:PORT` or
    `memcached:///run/memcached.sock`."""
    timeout: Annotated[Duration, Field(gt=0)] = 0.1
    """The longest that an exchange waits for the store, for each question."""
    pause: Annotated[Duration, Field(gt=0)] = 1.0
    """After a failure the store is left alone for so long."""
    cache: Duration = 2.0
    """For so long a worker takes what the store said for granted."""
    prefix: KeyPrefix = "gateway:"
    """What the keys in the store begin with."""
    max_sessions: Annotated[int, Field(ge=1)] = 100_000
    """Sessions that a worker remembers at most: all there are with `memory`, the latest ones otherwise."""

    @model_validator(mode="after")
    def _check_url(self) -> StoreSettings:
        if self.use == "memory":
            return self
        schemes = _STORE_SCHEMES[self.use]
        parts = urlsplit(self.url.get_secret_value() if self.url else "")
        try:
            is_there = bool(parts.port or parts.hostname or len(parts.path) > 1)
        except ValueError:
            is_there = False
        if parts.scheme not in schemes or not is_there:
            raise ValueError(f'url: the store {self.use!r} wants one such as "{_STORE_URLS[self.use]}"')
        return self


class Settings(PluginConfig):
    """How a session is known, and how it is held."""

    method: Literal["cookie", "prefix", "learned", "header", "source", "none"] = "cookie"
    """`cookie`: one that the gateway sets. `prefix`: the application's, with the endpoint written before its value.
    `learned`: the application's, remembered. `header`: a request header. `source`: the client's address.
    `none`: sessions are not kept, which costs nothing."""
    name: str = ""
    """The cookie's name, or with `header` the header's. Empty is allowed with `cookie` alone: `gw-` and a hash of
    the upstream's name, so that upstreams do not overwrite each other's."""
    ttl: Duration = 8 * 3600.0
    """How long a session is held after it was last seen. With `cookie`, 0 means until the browser is closed; with
    `prefix` the application says how long its cookie lives."""
    secret: Secret | None = None
    """`cookie`, `prefix`: what cookies are signed with, at least 16 characters. None means a random one, shared by
    the workers until the whole gateway restarts. With a store it also goes into the hashes of session keys."""
    previous_secret: Secret | None = None
    """`cookie`, `prefix`: cookies made with this one are accepted, too, and replaced."""
    path: str = "/"
    """`cookie`: for which paths browsers send it."""
    domain: str = ""
    """`cookie`: for which domain and its subdomains; empty means the very host."""
    secure: Literal["auto", "always", "never"] = "auto"
    """`cookie`: sent over TLS alone. `auto`: if the request came over TLS."""
    http_only: bool = True
    """`cookie`: out of reach for scripts."""
    same_site: Literal["lax", "strict", "none", ""] = "lax"
    """`cookie`: whether it goes along with requests from other sites; empty leaves it to the browser."""
    ipv4_prefix: Annotated[int, Field(ge=1, le=32)] = 32
    """`source`: clients whose addresses share so many bits are one session."""
    ipv6_prefix: Annotated[int, Field(ge=1, le=128)] = 64
    """`source`: the same for IPv6, where one client usually has a /64."""
    store: Annotated[StoreSettings, BeforeValidator(_named)] = StoreSettings()
    """`learned`, `header`, `source`: a store by its name, or a table with `use` and its settings."""

    @property
    def kind(self) -> str:
        """What carries the sessions: the method itself, or the store."""
        return self.method if self.method in ("cookie", "prefix", "none") else self.store.use

    @property
    def secrets(self) -> tuple[str, ...]:
        """The present secret, then the previous one; empty without any."""
        return tuple(secret.get_secret_value() for secret in (self.secret, self.previous_secret) if secret)

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if value:
            Headers().add(value, "")  # a cookie's name is a token, too (RFC 6265 4.1.1)
        return value

    @field_validator("secret", "previous_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_SECRET_CHARACTERS:
            raise ValueError(
                f"at least {MIN_SECRET_CHARACTERS} characters are needed; `openssl rand -base64 32` makes good ones"
            )
        return value

    @field_validator("path")
    @classmethod
    def _check_path(cls, value: str) -> str:
        if not _PATH(value):
            raise ValueError('expected a path such as "/", without blanks and semicolons')
        return value

    @field_validator("domain")
    @classmethod
    def _check_domain(cls, value: str) -> str:
        if value and not _DOMAIN(value):
            raise ValueError(f'expected a domain such as "example.com", not {value!r}')
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if not self.name and self.method in _NAMED_BY:
            raise ValueError(f"name: the method {self.method!r} wants {_NAMED_BY[self.method]}")
        if self.previous_secret and not self.secret:
            raise ValueError("previous_secret: needs a secret beside it")
        if self.method == "cookie":
            self._check_cookie()
        elif self.method not in ("prefix", "none") and self.ttl < 1:
            raise ValueError(f"ttl: the method {self.method!r} wants at least a second")
        return self

    def _check_cookie(self) -> None:
        """Browsers drop a cookie whose name or SameSite promises what its other attributes do not keep."""
        if self.same_site == "none" and self.secure == "never":
            raise ValueError('same_site: browsers take "none" only with Secure; set secure = "always"')
        if self.name.startswith(("__Secure-", "__Host-")) and self.secure != "always":
            raise ValueError(f'name: browsers take {self.name!r} only with secure = "always"')
        if self.name.startswith("__Host-") and (self.path != "/" or self.domain):
            raise ValueError(f'name: browsers take {self.name!r} only with path = "/" and no domain')
