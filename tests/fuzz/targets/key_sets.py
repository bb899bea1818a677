"""JWKS: keys that are each for some algorithm that is allowed, or a ValueError."""

from __future__ import annotations

from gateway_security.jwt_keys import MAX_KEYS, keys_in

ALLOWED = ("RS256", "ES256", "EdDSA")


def check(data: bytes) -> None:
    try:
        keys = keys_in(data, ALLOWED)
    except ValueError:
        return
    assert 0 < len(keys) <= MAX_KEYS
    assert all(key.algorithms and key.algorithms <= set(ALLOWED) for key in keys)
    assert not any(isinstance(key.material, bytes) for key in keys)
