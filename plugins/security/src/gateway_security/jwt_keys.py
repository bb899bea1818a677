"""Keys that signatures of tokens are checked with, each bound to the algorithms that it is for.

Owns reading secrets, PEM and JWKS, and which algorithm goes with which kind of key: a public key is never taken for
the secret of an HMAC (RFC 8725 2.1, 3.1). Does not read files or ask anybody, and does not know tokens.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

log = logging.getLogger("gateway.security")

HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""A secret is at least as long as the hash (RFC 7518 3.2)."""
RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
MIN_RSA_BITS = 2048
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
MAX_KEYS = 64


class Key(NamedTuple):
    """What checks signatures; `material` is bytes for HMAC, otherwise a public key."""

    material: Any
    algorithms: frozenset[str]
    kid: str | None = None


def check_libraries() -> None:
    """Raise ValueError unless what this plugin alone needs is installed."""
    try:
        import cryptography  # noqa: F401
        import jwt  # noqa: F401
    except ImportError as error:
        raise ValueError(f"needs {error.name}: pip install 'gateway-security[jwt]'") from None


def secret_key(secret: str, allowed: Collection[str]) -> Key:
    """A shared secret. Raises ValueError if it is too short for an algorithm that is allowed."""
    material = secret.encode()
    wanted = [name for name in allowed if name in HMAC_BYTES]
    for name in wanted:
        if len(material) < HMAC_BYTES[name]:
            raise ValueError(
                f"{name} needs a secret of at least {HMAC_BYTES[name]} bytes, this one has {len(material)};"
                " `openssl rand -base64 48` makes a good one"
            )
    if b"-----BEGIN" in material:
        raise ValueError("this is a key in PEM, not a secret; public keys go into public_keys")
    if not wanted:
        raise ValueError('no algorithm is allowed that uses a secret; add "HS256" to algorithms')
    return Key(material, frozenset(wanted))


def public_key(pem: str, allowed: Collection[str]) -> Key:
    """A public key or certificate in PEM. Raises ValueError for anything else."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if "PRIVATE KEY" in pem:
        raise ValueError("this is a private key, which only the issuer should have; give the public one")
    try:
        if "BEGIN CERTIFICATE" in pem:
            material: Any = x509.load_pem_x509_certificate(pem.encode()).public_key()
        else:
            material = load_pem_public_key(pem.encode())
    except Exception:
        raise ValueError(
            'expected a public key in PEM ("-----BEGIN PUBLIC KEY-----"), or a file with one'
        ) from None
    algorithms = algorithms_of(material)
    usable = algorithms & frozenset(allowed)
    if not usable:
        fitting = ", ".join(sorted(algorithms))
        raise ValueError(f"no algorithm is allowed that this key is for; add one of {fitting} to algorithms")
    return Key(material, usable)


def algorithms_of(material: Any) -> frozenset[str]:
    """What a public key is for. Raises ValueError for one that is too weak or of no use."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    if isinstance(material, rsa.RSAPublicKey):
        if material.key_size < MIN_RSA_BITS:
            raise ValueError(f"an RSA key of {material.key_size} bits is too weak: {MIN_RSA_BITS} are needed")
        return RSA
    if isinstance(material, ec.EllipticCurvePublicKey) and material.curve.name in CURVES:
        return frozenset((CURVES[material.curve.name],))
    if isinstance(material, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return frozenset(("EdDSA",))
    raise ValueError("a key of a kind that no algorithm uses")


def keys_in(document: bytes, allowed: Collection[str]) -> tuple[Key, ...]:
    """The keys of a JWKS that may be used (RFC 7517 5). Raises ValueError if there is none.

    One that cannot be used is passed over, as the RFC has it: an issuer may publish what we do not know.
    """
    try:
        listed = json.loads(document)["keys"]
        if not isinstance(listed, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError('not a JWKS: expected {"keys": [ … ]}') from None
    if len(listed) > MAX_KEYS:
        raise ValueError(f"a JWKS of more than {MAX_KEYS} keys")
    keys = tuple(_usable(listed, frozenset(allowed)))
    if not keys:
        raise ValueError(f"no key in it is one for {', '.join(sorted(allowed))}")
    return keys


def _usable(listed: list[Any], allowed: frozenset[str]) -> Iterator[Key]:
    for number, jwk in enumerate(listed):
        try:
            key = _read_jwk(jwk, allowed)
        except Exception as error:
            log.warning("jwt: key %d of the JWKS is left out: %s", number, str(error) or type(error).__name__)
            continue
        if key.algorithms:
            yield key


def _read_jwk(jwk: dict[str, Any], allowed: frozenset[str]) -> Key:
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

    kinds: dict[Any, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
    kind, kid = kinds.get(jwk.get("kty")), jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("its kid is no text")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return Key(None, frozenset())  # for encryption
    if kind is None:
        raise ValueError(f"kty {jwk.get('kty')!r}: expected RSA, EC or OKP; a shared secret is never published")
    if "d" in jwk:
        raise ValueError("it is a private key; whoever reads it can sign")
    material = kind.from_jwk(jwk)
    algorithms = algorithms_of(material) & allowed
    if "alg" in jwk:
        algorithms &= {jwk["alg"]}
    return Key(material, algorithms, kid)
