"""The settings of `tls.acme`: for which hosts, from which server, kept where.

Owns names, types and defaults. Reads no file.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from gateway import FilePath, PluginConfig, Secret

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
).fullmatch


class ExternalAccount(PluginConfig):
    """An account that the ACME server's owner has given out beforehand (RFC 8555, 7.3.4)."""

    key_id: str
    """The name of the key, as the owner tells it."""
    hmac: Secret
    """The key itself, in base64url."""

    @field_validator("hmac")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value().rstrip("=")
        if not text or not re.fullmatch(r"[A-Za-z0-9_-]+", text) or len(text) % 4 == 1:
            raise ValueError("expected a key in base64url: letters, digits, - and _")
        return SecretStr(text)


class Acme(PluginConfig):
    """A certificate by ACME (RFC 8555)."""

    domains: Annotated[tuple[str, ...], Field(min_length=1)]
    """The hosts of the certificate, such as `example.com`. A wildcard would need DNS, and cannot stand here."""
    storage: FilePath
    """A folder for keys and certificates, which nobody else may read. It is made if it is not there."""
    agree_to_terms: bool = False
    """Must be `true`: you have read the ACME server's terms of service and agree to them."""
    email: str = ""
    """Whom the ACME server's owner may write to; some ask for it, Let's Encrypt does not use it."""
    challenge: Literal["tls-alpn-01", "http-01"] = "tls-alpn-01"
    """How the server finds out that the hosts are yours. `tls-alpn-01`: by a connection to port 443, which must
    reach this listener. `http-01`: by a request to port 80, which must reach a listener without TLS."""
    directory: str = LETS_ENCRYPT
    """The URL of the ACME server."""
    ca: FilePath | None = None
    """Whose certificate the ACME server shows, in a PEM file; without it, one that the public trusts."""
    eab: ExternalAccount | None = None
    """An account that the server's owner has given out; some servers ask for one."""

    @field_validator("domains")
    @classmethod
    def _check_domains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [name.lower().rstrip(".") for name in value]
        for name in names:
            _check_host(name)
            if names.count(name) > 1:
                raise ValueError(f"{name!r} stands there twice")
        return tuple(names)

    @field_validator("agree_to_terms")
    @classmethod
    def _check_agreement(cls, value: bool) -> bool:
        if not value:
            raise ValueError("write agree_to_terms = true once you have read the terms of the ACME server")
        return value

    @field_validator("directory")
    @classmethod
    def _check_directory(cls, value: str) -> str:
        if not value.startswith("https://"):
            raise ValueError(f'expected a URL such as "{LETS_ENCRYPT}", not {value!r}')
        return value


def _check_host(name: str) -> None:
    if name.startswith("*."):
        raise ValueError(f"{name!r}: a wildcard is proven by DNS, which is not spoken here; list the hosts")
    if not name.isascii():
        raise ValueError(f"{name!r}: write it as it stands in DNS, with xn--")
    if not _HOST(name) or _is_address(name):
        raise ValueError(f'expected a host such as "example.com", not {name!r}')


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
