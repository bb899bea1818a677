"""The settings of the plugin `tls`, and the keys that it adds to a listener's `tls`.

Owns names, types and defaults. Reads no file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gateway import Duration, FilePath, PluginConfig
from gateway_tls.acme.settings import Acme

_RESERVED = frozenset(("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"))


class Pair(PluginConfig):
    """A certificate and its key."""

    cert: FilePath
    """The certificate, followed by those between it and the root, in a PEM file."""
    key: FilePath
    """Its private key, in a PEM file."""


class ClientCertificates(PluginConfig):
    """Certificates that clients show."""

    ca: FilePath
    """Whose certificates are believed, in a PEM file."""
    mode: Literal["required", "optional"] = "required"
    """`required`: who shows none is not let in. `optional`: a client may go without, but a bad one is refused."""
    crl: FilePath | None = None
    """Certificates that were revoked, in a PEM file; one list for each CA of a client's own certificate."""


class ListenerKeys(PluginConfig):
    """A listener's `tls`."""

    cert: FilePath | None = None
    """See `certificates`: the first of them."""
    key: FilePath | None = None
    """Its private key."""
    certificates: tuple[Pair, ...] = ()
    """Certificates, of which each client gets the one whose names have the host that it wants (SNI)."""
    acme: Acme | None = None
    """A certificate that is got and renewed by ACME, beside those; see below."""
    policy: Literal["intermediate", "modern"] = "intermediate"
    """Mozilla's names for what is spoken: `intermediate` is TLS 1.2 with forward secrecy and TLS 1.3, `modern` is
    TLS 1.3 alone."""
    min_version: Literal["1.2", "1.3"] | None = None
    """The oldest version of TLS; without it, what the policy says."""
    unknown_name: Literal["first", "refuse"] = "first"
    """What becomes of a client that wants a host which no certificate has, or names none: it gets the `first`
    certificate, or the alert `unrecognized_name`."""
    client: ClientCertificates | None = None
    """Certificates that clients show; without it nobody is asked for one."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All certificates of the site's own, the default first."""
        if self.cert is None or self.key is None:
            return self.certificates
        return (Pair(cert=self.cert, key=self.key), *self.certificates)

    @model_validator(mode="after")
    def _check_pairs(self) -> ListenerKeys:
        if not self.pairs and self.acme is None:
            raise ValueError("needs a certificate: cert and key, certificates = [{ cert = …, key = … }], or acme")
        return self


class HSTS(PluginConfig):
    """Strict-Transport-Security (RFC 6797): browsers that have seen it come by TLS only."""

    max_age: Duration = 0.0
    """For how long they remember, as in `"365d"`. 0 sends nothing. Begin with minutes: it cannot be taken back."""
    include_subdomains: bool = False
    """Whether it holds for every name below the host, too."""
    preload: bool = False
    """Whether browsers may ship it; see hstspreload.org before you say so."""


class Identity(PluginConfig):
    """Header fields that tell endpoints who the client is by its certificate. An empty name is not sent.

    What a client sends under these names, or under the same with `_` or `.` for `-`, is always taken away.
    """

    certificate: str = "client-cert"
    """The whole certificate, as RFC 9440 has it: base64 of its DER between colons."""
    subject: str = ""
    """Its subject, such as `CN=alice,O=Example` (RFC 4514)."""
    fingerprint: str = ""
    """SHA-256 of its DER, in hexadecimal."""

    @field_validator("certificate", "subject", "fingerprint")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if value and (not value.replace("-", "").isalnum() or not value.isascii() or value.lower() in _RESERVED):
            raise ValueError(f"expected the name of a header field such as client-cert, not {value!r}")
        return value.lower()


class Redirect(PluginConfig):
    """Where clients of a listener without TLS are sent."""

    to_port: Annotated[int, Field(ge=1, le=65535)] = 443
    """The port of the listener with TLS, as clients reach it."""
    status: Literal[301, 302, 307, 308] = 308
    """308 keeps the method and the body, 301 is older."""
