"""Headers that only the gateway may set: no spelling of their names passes, and Connection takes none away."""

from __future__ import annotations

import re

from fuzz_input import fields
from gateway_security.own_headers import OwnHeaders

from gateway.headers import Headers
from gateway.upstream.message import named_by_connection

OWN = OwnHeaders(["x-auth-user", "x-role"])
FORGED = re.compile(rb"x[^a-z0-9]auth[^a-z0-9]user|x[^a-z0-9]role", re.IGNORECASE).fullmatch


def check(data: bytes) -> None:
    raw = fields(data)
    headers = Headers.adopt(raw.copy())
    OWN.clear(headers)
    assert not [name for name, _ in headers.raw if FORGED(name)]
    assert not named_by_connection(headers.get_all("connection")) & {b"x-auth-user", b"x-role"}
    others = [field for field in raw if field[0] != b"connection" and not FORGED(field[0])]
    assert [field for field in headers.raw if field[0] != b"connection"] == others
