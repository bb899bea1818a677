"""Look at the listeners' certificates before anything starts, so that a mistake is one clear line.

Owns what is said of certificates and keys, and what the server core gets of them: what stood in the files when they
were looked at. A worker that is started later must not depend on what stands there then.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from gateway.config.model import Listener, ListenerTLS
from gateway.errors import ConfigurationError
from gateway.listeners.x509 import Facts, read_facts
from gateway.metrics import EXPIRY, Sample, sample_of
from gateway.pem import UnfitPair, load_pair

KEYS = ("P-256", "P-384", "Ed25519", "RSA")
"""Kinds of keys that the server can sign with; it ends at once with any other."""
MAX_RSA_BITS = 4096
SOON_DAYS = 14
"""So long before its end a certificate is warned of."""


Pair: TypeAlias = tuple[str, str]
"""Certificate and key, in PEM form."""


@dataclass(frozen=True)
class Certificates:
    """What was found in the files of all listeners."""

    fingerprint: str
    """Another text whenever a file has other bytes, or serves another listener."""
    warnings: tuple[str, ...]
    """A line for each that has expired or soon will."""
    pairs: tuple[Pair | None, ...] = ()
    """By listener, what the server core is to serve; None without TLS, and where an edge looks after its own."""
    ends: tuple[tuple[str, float], ...] = ()
    """When those expire, in seconds since 1970, by the label of the listener."""

    def samples(self) -> list[Sample]:
        """For `gateway metrics`; an edge shows its own."""
        return [sample_of("gauge", *EXPIRY, ends, listener=label) for label, ends in self.ends]


def check_certificates(listeners: Iterable[Listener], file: str) -> Certificates:
    """Raise ConfigurationError unless certificates and keys can be served; `file` is the site file."""
    seen, warnings, pairs, ends, now = hashlib.sha256(), [], [], [], time.time()
    for index, listener in enumerate(listeners):
        if listener.tls is not None and listener.tls.cert is not None:
            place = f"{file}: listeners[{index}].tls"
            facts, *pair = _check(listener.tls, place)
            for part in (str(listener), *pair):
                seen.update(f"{len(part)}:{part}".encode())
            if warning := _expiry(facts.ends, now):
                warnings.append(f"{place}.cert: {listener.tls.cert} {warning}")
            pairs.append(None if listener.tls.extras else (pair[0], pair[1]))
            if not listener.tls.extras:
                ends.append((listener.label, facts.ends))
        else:
            pairs.append(None)
    return Certificates(seen.hexdigest(), tuple(warnings), tuple(pairs), tuple(ends))


def served_files(listeners: Iterable[Listener]) -> list[Path]:
    """The files of what the server core serves; an edge looks after its own."""
    every = [listener.tls for listener in listeners if listener.tls is not None and not listener.tls.extras]
    return [path for tls in every for path in (tls.cert, tls.key) if path is not None]


def _expiry(ends: float, now: float) -> str:
    """What to warn of, if anything: an expired certificate is served all the same."""
    day = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if ends <= now:
        return f"expired on {day}: clients refuse it; put a new one there"
    if ends <= now + SOON_DAYS * 86400:
        return f"expires on {day}; put a new one there"
    return ""


def _check(tls: ListenerTLS, place: str) -> tuple[Facts, str, str]:
    """The facts of the certificate, and what stands in both files."""
    cert, key = tls.cert, tls.key
    assert cert is not None
    assert key is not None
    try:
        pair = load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert, key)
        pem, secret = (part.decode("latin-1") for part in pair)
        facts = read_facts(pem)
    except UnfitPair as error:
        raise ConfigurationError(f"{place}{error.key and '.' + error.key}: {error}") from None
    except ValueError:
        raise ConfigurationError(f"{place}.cert: {cert} is no certificate in PEM form") from None
    if facts.version != 3:
        raise ConfigurationError(
            f"{place}.cert: {cert} is an X.509 certificate of version {facts.version}, which cannot be served;"
            " make one of version 3: with extensions, as openssl req -x509 does"
        )
    if facts.key not in KEYS or facts.key_bits > MAX_RSA_BITS:
        size = f" with {facts.key_bits} bits" if facts.key_bits else ""
        raise ConfigurationError(
            f"{place}.key: the key of {cert} is of the kind {facts.key}{size}, which cannot be served;"
            f" take {', '.join(KEYS)} (up to {MAX_RSA_BITS} bits)"
        )
    return facts, pem, secret
