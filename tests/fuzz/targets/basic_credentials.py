"""Basic credentials: a name without a colon, and both without control characters; or nothing."""

from __future__ import annotations

from base64 import b64decode, b64encode

from gateway_security.basic_auth import MAX_CREDENTIALS, read_credentials


def check(data: bytes) -> None:
    for value in (data, b"Basic " + b64encode(data)):
        pair = read_credentials(value)
        if pair is not None:
            name, password = pair
            assert b":" not in name
            assert not any(byte < 32 or byte == 127 for byte in name + password)
            assert b64decode(value[6:]) == name + b":" + password
            assert len(value) <= len("basic ") + MAX_CREDENTIALS
