"""What a certificate says of itself: its version, its last day, its kind of key.

Owns the little of DER that this takes: the standard library opens a certificate for nobody but its peer. Checks
nothing; whether key and certificate are fit for use is `tls`' business.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL).search
_VERSION = 0xA0
"""The tag of the version; a certificate without it is of version 1 (RFC 5280, 4.1)."""

_UTC_TIME = 0x17
_RSA, _ELLIPTIC = bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a8648ce3d0201")
_KINDS = {
    _RSA: "RSA",
    bytes.fromhex("2a864886f70d01010a"): "RSA-PSS",
    bytes.fromhex("2a8648ce380401"): "DSA",
    bytes.fromhex("2a8648ce3d030107"): "P-256",
    bytes.fromhex("2b81040022"): "P-384",
    bytes.fromhex("2b81040023"): "P-521",
    bytes.fromhex("2b8104000a"): "secp256k1",
    bytes.fromhex("2b6570"): "Ed25519",
    bytes.fromhex("2b6571"): "Ed448",
}
"""Object identifiers of kinds of keys, and of curves."""


@dataclass(frozen=True)
class Facts:
    """What stands in a certificate."""

    version: int
    """1 or 3; 2 is of no practical use."""
    ends: float
    """When it expires, in seconds since 1970."""
    key: str
    """Its kind: `RSA`, `P-256`, …, or `unknown`."""
    key_bits: int
    """Of an RSA key; 0 for others."""


def read_facts(pem: str) -> Facts:
    """The facts of the first certificate in a text. Raises ValueError if there is none."""
    found = _PEM(pem)
    if found is None:
        raise ValueError("no certificate")
    try:
        (certificate,) = _elements(ssl.PEM_cert_to_DER_cert(found[0]))
        signed = list(_elements(next(_elements(certificate[1]))[1]))
        version = 1
        if signed[0][0] == _VERSION:
            ((_, number),) = _elements(signed.pop(0)[1])
            version = 1 + int.from_bytes(number, "big")
        _number, _signature, _issuer, (_, validity), _subject, (_, public_key), *_ = signed
        _begin, (form, end) = _elements(validity)
        return Facts(version, _seconds(form, end.decode("latin-1")), *_kind_of(public_key))
    except (IndexError, StopIteration) as error:
        raise ValueError("no certificate") from error


def _seconds(form: int, time: str) -> float:
    if form == _UTC_TIME:  # two digits of a year between 1950 and 2049
        time = ("19" if time[:2] >= "50" else "20") + time
    return datetime.strptime(time, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _kind_of(public_key: bytes) -> tuple[str, int]:
    (_, algorithm), (_, key) = _elements(public_key)
    kind, *parameters = (content for _, content in _elements(algorithm))
    if kind == _RSA:
        (numbers,) = _elements(key[1:])  # a bit string, of which no bit is unused
        return "RSA", int.from_bytes(next(_elements(numbers[1]))[1], "big").bit_length()
    return _KINDS.get(parameters[0] if kind == _ELLIPTIC else kind, "unknown"), 0


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element. Raises IndexError or ValueError where they end too early."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        if at + length > len(der):
            raise ValueError("an element ends too early")
        yield tag, der[at : at + length]
        at += length
