"""Look at a listener's certificate before anything starts, so that a mistake is one clear line."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.config.model import Listener
from gateway.errors import ConfigurationError


def check_certificate(listener: Listener, file: str) -> None:
    """Raise ConfigurationError unless certificate and key can be read and belong together."""
    if listener.tls is None:
        return
    cert, key = listener.tls.cert, listener.tls.key
    place = f"{file}: listener {listener.label}: tls"
    _check_readable(cert, f"{place}.cert")
    _check_readable(key, f"{place}.key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            what = f"the key {key} does not belong to the certificate {cert}"
        else:
            what = f"{cert} and {key} are no certificate and key in PEM form"
        raise ConfigurationError(f"{place}: {what}") from None


def _check_readable(path: Path, place: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{place}: {path}: {error.strerror}") from None
