"""Certificates: facts, or a ValueError."""

from __future__ import annotations

import ssl

from gateway.listeners.x509 import read_facts


def check(data: bytes) -> None:
    try:
        facts = read_facts(ssl.DER_cert_to_PEM_cert(data))
    except ValueError:
        return
    assert facts.version >= 1
    assert 0 <= facts.key_bits <= 8 * len(data)
