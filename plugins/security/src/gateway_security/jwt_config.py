"""The settings of `jwt`, and which of them belong together.

Owns names, defaults and their checks. Does not read keys.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from gateway import Duration, FilePath, Headers, PluginConfig, Secret
from gateway_security.own_headers import OwnHeader

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _check_quoted(value: str) -> str:
    if not re.fullmatch(r"[ !#-\[\]-~]+", value):
        raise ValueError(f"expected visible ASCII characters without quotes, not {value!r}")
    return value


def _check_cookie(value: str) -> str:
    if value:
        Headers().add(value, "")  # a cookie's name is a token, too (RFC 6265 4.1.1)
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
Quoted = Annotated[str, AfterValidator(_check_quoted)]


class Settings(PluginConfig):
    """Where tokens are found, which are good, and what the upstream learns of them."""

    cookie: Annotated[str, AfterValidator(_check_cookie)] = ""
    """A cookie that is looked at when there is no `Authorization: Bearer`; empty for none."""
    secret: Secret | None = None
    """What issuer and gateway share, for HS256, HS384 and HS512: at least 32, 48 and 64 bytes."""
    public_keys: Annotated[tuple[Secret, ...], BeforeValidator(_as_list)] = ()
    """Public keys or certificates in PEM, usually `{ file = "issuer.pem" }`."""
    jwks_file: FilePath | None = None
    """A file of public keys (RFC 7517), read anew every `jwks_refresh`."""
    jwks_url: str = ""
    """Where the issuer publishes its keys, by https, or by http on this machine. Redirects are not followed."""
    jwks_refresh: Annotated[Duration, Field(ge=1)] = 600.0
    """How often keys are fetched. While the issuer is away those at hand hold."""
    jwks_pause: Annotated[Duration, Field(ge=1)] = 30.0
    """A token with an unknown key has them fetched at once, but not more often than this."""
    jwks_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    """The longest that fetching them takes."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = (
        "RS256",
        "PS256",
        "ES256",
        "EdDSA",
        "HS256",
    )
    """The algorithms that are accepted, each with keys of its own kind only: HS… with `secret`, the others with
    public keys."""
    issuers: Names = ()
    """Whom tokens may be from (`iss`); empty for anybody who has the key."""
    audiences: Names = ()
    """Whom tokens may be for (`aud`): what the issuer calls this service. Empty: tokens that name an audience are
    refused."""
    leeway: Duration = 10.0
    """How far clocks may differ."""
    require: tuple[str, ...] = ("exp",)
    """Claims that have to be there."""
    scopes: Annotated[tuple[Quoted, ...], BeforeValidator(_as_list)] = ()
    """Scopes that all have to be there (`scope` or `scp`); else 403."""
    claims: dict[str, Names] = {}
    """Claims and the values of which one has to be there: `{ groups = ["staff", "ops"] }`; else 403. A name such as
    `realm_access.roles` leads into objects."""
    headers: dict[OwnHeader, str] = {"x-auth-user": "sub"}
    """Headers in which the upstream gets claims: header = claim. A client's own of these names are taken away."""
    forward_token: bool = True
    """Whether the upstream gets the token, too."""
    realm: Quoted = "gateway"
    """What the challenge to clients says of where they are."""
    allow_preflight: bool = False
    """Whether CORS preflights pass without a token: browsers send none with them."""
    remember: Duration = 300.0
    """So long a valid token is not checked again, in each worker, unless it expires; 0 checks each request."""
    max_remembered: Annotated[int, Field(ge=1)] = 10_000
    """Valid tokens that each worker remembers."""

    @field_validator("jwks_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if not value:
            return value
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host, parts = "", urlsplit("")
        if parts.scheme not in ("http", "https") or not host or not re.fullmatch("[!-~]+", value):
            raise ValueError(f'expected a URL such as "https://issuer.example/jwks.json", not {value!r}')
        if parts.scheme == "http" and not _is_here(host):
            raise ValueError(
                "over http anybody on the way could put keys in; use https, or fetch it into jwks_file"
            )
        if parts.username is not None:
            raise ValueError("a URL in which credentials stand would show them in the log")
        return value

    @model_validator(mode="after")
    def _check_keys(self) -> Settings:
        if self.jwks_file is not None and self.jwks_url:
            raise ValueError("jwks_url: there is a jwks_file, too; leave one of them out")
        if self.secret is None and not self.public_keys and self.jwks_file is None and not self.jwks_url:
            raise ValueError("no token could be checked: set jwks_url, jwks_file, public_keys or secret")
        return self


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
