"""What a certificate says of itself: the hosts that it is for, and its days.

Owns the reading of certificates, and which of several is for a host. Makes no contexts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from cryptography import x509

T = TypeVar("T")


@dataclass(frozen=True)
class Facts:
    """What stands in a certificate."""

    names: tuple[str, ...]
    """Hosts and addresses, in lower case; a wildcard as `*.example.com`."""
    begins: datetime
    ends: datetime


def read_facts(path: Path) -> Facts:
    """The facts of the first certificate in a PEM file. Raises OSError, and ValueError if there is none."""
    return facts_of(path.read_bytes())


def facts_of(pem: bytes) -> Facts:
    """The facts of the first certificate. Raises ValueError if there is none."""
    from cryptography import x509  # takes 45 ms and 8 MB, which a gateway without an edge is spared

    certificate = x509.load_pem_x509_certificate(pem)
    return Facts(tuple(_names(certificate)), certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _names(certificate: x509.Certificate) -> list[str]:
    """The subject alternative names; clients look at nothing else (RFC 9525, 2)."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [name.lower().rstrip(".") for name in found.get_values_for_type(x509.DNSName)] + addresses


def days_left(ends: datetime) -> float:
    """Days until a certificate expires; negative once it has."""
    return (ends - datetime.now(UTC)).total_seconds() / 86400


class ByName(Generic[T]):
    """Something for each host: the exact name first, then the wildcard above it (RFC 9525, 6.3)."""

    def __init__(self, named: Mapping[str, T]) -> None:
        self._exact = {name: value for name, value in named.items() if not name.startswith("*.")}
        self._wild = {name[1:]: value for name, value in named.items() if name.startswith("*.")}

    def find(self, host: str) -> T | None:
        """What is there for a host, in lower case; a wildcard stands for one label."""
        found = self._exact.get(host)
        if found is None and self._wild:
            found = self._wild.get(host[host.find(".") :] if "." in host else "")
        return found
