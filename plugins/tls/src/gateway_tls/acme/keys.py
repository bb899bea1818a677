"""Keys, and the certificates that we sign ourselves: the stand-in, and the answer to a challenge.

Owns what is in them. A key and its certificate are one PEM text, key first, and never lie in a file of their own.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_DAYS = 365


def new_key() -> bytes:
    """A private key (P-256) in PEM form."""
    return _pem_of(ec.generate_private_key(ec.SECP256R1()))


def stand_in(domains: Sequence[str]) -> bytes:
    """Key and certificate of what is served until there is a real one; no client believes it."""
    return _self_signed(domains)


def challenge_answer(domain: str, authorization: str) -> bytes:
    """Key and certificate that answer tls-alpn-01 for a host (RFC 8737, 3)."""
    digest = hashlib.sha256(authorization.encode()).digest()
    octet_string = bytes((0x04, len(digest))) + digest
    return _self_signed([domain], x509.UnrecognizedExtension(_ACME_IDENTIFIER, octet_string))


def belongs_to(key: bytes, chain: bytes) -> bool:
    """Whether the first certificate of a chain is that of a key."""
    private = serialization.load_pem_private_key(key, None)
    return x509.load_pem_x509_certificate(chain).public_key() == private.public_key()


def _self_signed(domains: Sequence[str], critical: x509.ExtensionType | None = None) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains]), critical=False)
    )
    if critical is not None:
        builder = builder.add_extension(critical, critical=True)
    return _pem_of(key) + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
