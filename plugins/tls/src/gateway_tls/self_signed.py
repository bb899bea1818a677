"""A certificate of our own making, for work on one's own machine: `gateway run … --tls-self-signed`.

Owns its files, which stay, so that a browser or a client is told to trust it once. Nobody else trusts it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway import UnfitPair, load_pair
from gateway_tls.certificates import days_left, read_facts

DAYS = 397
"""What browsers bear at most."""
LOCAL = ("localhost", "127.0.0.1", "::1")


def self_signed(hosts: Iterable[str], folder: Path | None = None) -> tuple[Path, Path]:
    """Certificate and key for this machine and the given hosts: those that are there already, if they will do.

    Raises OSError if they cannot be written.
    """
    folder = folder or _state_folder()
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = tuple(dict.fromkeys((*LOCAL, socket.gethostname().lower(), *hosts)))
    if not _will_do(cert, key, names):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(cert, key, names)
    return cert, key


def _state_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "gateway" / "self-signed"


def _will_do(cert: Path, key: Path, names: tuple[str, ...]) -> bool:
    try:
        facts = read_facts(cert)
    except (OSError, ValueError):
        return False
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert, key)
    except UnfitPair:  # one of the two was written by a start that was cut short
        return False
    return set(names) <= set(facts.names) and days_left(facts.ends) > 1


def _make(cert: Path, key: Path, names: tuple[str, ...]) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway, for local work")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem)
    _write(cert, made.public_bytes(serialization.Encoding.PEM))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, data: bytes) -> None:
    """For the owner alone, and whole or not at all."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    new.replace(path)
