"""Tell endpoints by which certificate a client has come, in fields that a client cannot forge.

Owns the fields' values. What a certificate is worth was decided in the handshake.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from gateway import Exchange, folded_name
from gateway_tls.settings import Identity


class IdentityFields:
    """The fields of one configuration."""

    def __init__(self, settings: Identity) -> None:
        self._settings = settings
        names = [settings.certificate, settings.subject, settings.fingerprint]
        wanted = {name.encode() for name in names if name}
        self._taken_away = frozenset(map(folded_name, wanted))
        self._fields_of = lru_cache(maxsize=4096)(self._make_fields)

    def apply(self, exchange: Exchange) -> None:
        """Take away what the client says of itself, and say what is known."""
        headers = exchange.request.headers
        for name in {name for name, _ in headers.raw if folded_name(name) in self._taken_away}:
            headers.remove(name)
        connection = exchange.connection
        if connection is not None and connection.tls is not None and connection.tls.certificate is not None:
            for name, value in self._fields_of(connection.tls.certificate):
                headers.add(name, value)

    def _make_fields(self, der: bytes) -> tuple[tuple[bytes, bytes], ...]:
        from cryptography import x509  # only where a client has shown a certificate

        settings = self._settings
        subject = x509.load_der_x509_certificate(der).subject.rfc4514_string() if settings.subject else ""
        values = {
            settings.certificate: b":" + base64.b64encode(der) + b":",
            settings.subject: "".join(char if " " <= char <= "~" else "?" for char in subject).encode(),
            settings.fingerprint: hashlib.sha256(der).hexdigest().encode(),
        }
        return tuple((name.encode(), value) for name, value in values.items() if name)
