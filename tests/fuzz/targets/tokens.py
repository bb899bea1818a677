"""JWT: any failure is a BadToken, only what our key has signed is believed, and claims make harmless headers."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from fuzz_input import lines
from gateway_security.jwt_keys import secret_key
from gateway_security.tokens import BadToken, Insufficient, Rules, header_value

SECRET = "thirty-two bytes that nobody else knows"
KEYS = [secret_key(SECRET, ["HS256"])]
RULES = Rules(
    algorithms=["HS256"], issuers=[], audiences=[], leeway=0.0, required=[], scopes=["read"],
    claims={"realm.roles": ["user"]},
)  # fmt: skip


def encoded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def seal(signed: bytes) -> bytes:
    return hmac.digest(SECRET.encode(), signed, hashlib.sha256)


def check(data: bytes) -> None:
    token = data
    if b"\n" in data:
        header, claims = lines(data, 2)
        signed = encoded(header) + b"." + encoded(claims)
        token = signed + b"." + encoded(seal(signed))
    try:
        found = RULES.verify(token, KEYS)
    except BadToken as error:
        assert len(str(error).splitlines()) == 1  # it goes into the log
        return
    signed, _, signature = token.rpartition(b".")
    assert urlsafe_b64decode(signature + b"==") == seal(signed)
    for claim in found.values():
        try:
            value = header_value(claim)
        except BadToken:
            continue
        assert value is None or not any(byte < 32 or byte == 127 for byte in value)
    try:
        RULES.authorize(found)
    except Insufficient:
        pass
