"""TLS handshakes that come to nothing: what the client is told, by an alert, and what the log is told.

Owns the words and the alerts (RFC 8446, 6). Makes no handshake and holds no socket.
"""

from __future__ import annotations

import ssl
from typing import Literal, cast

_NUMBERS = {"unrecognized_name": 112, "no_application_protocol": 120}
"""RFC 6066, 3; RFC 7301, 3.2."""

_CLIENTS_ALERT = ("SSLV3_ALERT_", "TLSV1_ALERT_", "TLSV13_ALERT_")
"""What OpenSSL's names begin with for alerts that the peer has sent."""


class HandshakeRefused(ValueError):
    """There will be no handshake with this client, which is told why by an alert."""

    def __init__(self, reason: str, alert: Literal["unrecognized_name", "no_application_protocol"]) -> None:
        """`reason` is for the log, the same for all clients of a kind."""
        super().__init__(reason)
        self.alert = alert


class ServerContext(ssl.SSLContext):
    """An OpenSSL context whose failed handshakes bring along the alert that the client is to get.

    OpenSSL writes the alert when it raises; event loops throw away what is left to send then, and cut the
    connection. Whoever sees the error finds the record by `alert_of`.
    """

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As ever; the connection knows where its alert goes."""
        made = super().wrap_bio(incoming, outgoing, server_side, cast("str | None", server_hostname), session)
        if isinstance(made, _Outspoken):
            made.outgoing = outgoing
        return made


class _Outspoken(ssl.SSLObject):
    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            error.alert = self.outgoing.read()  # type: ignore[attr-defined]
            raise


ServerContext.sslobject_class = _Outspoken


def alert_of(error: Exception) -> bytes:
    """The record that tells a client of this failure; empty where it is told nothing."""
    if isinstance(error, HandshakeRefused):
        # Fatal. Before a version is agreed upon a record says 1.0 or 1.2, and nobody minds (RFC 8446, 5.1).
        return b"\x15\x03\x01\x00\x02\x02%c" % _NUMBERS[error.alert]
    alert: bytes = getattr(error, "alert", b"")
    return alert


def reason_of(error: Exception) -> str:
    """Why a handshake failed, in words for a person."""
    if not isinstance(error, ssl.SSLError) or not error.reason:
        return getattr(error, "strerror", None) or str(error) or "the client left within the handshake"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate is not valid: {error.verify_message}"
    for beginning in _CLIENTS_ALERT:
        if error.reason.startswith(beginning):
            return f"the client refuses: {_words(error.reason.removeprefix(beginning))}"
    return _words(error.reason)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
