"""Set-Cookie: a rewrite changes Domain and Path alone, and Domain to the host that the client has asked."""

from __future__ import annotations

import re

from fuzz_exchange import proxied
from fuzz_input import is_target, lines
from gateway_security.public_address import PublicAddress

HOST = b"www.example.com"


def parts(cookie: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Name and value, and the attributes."""
    pair, *rest = cookie.split(b";")
    split = [piece.partition(b"=") for piece in rest if piece.strip(b" \t")]
    return pair, [(name.strip(b" \t").lower(), value.strip(b" \t").lower()) for name, _, value in split]


def check(data: bytes) -> None:
    asked, forwarded, value = lines(data, 3)
    if not (is_target(asked) and is_target(forwarded)) or re.search(rb"[\r\n\0]", value):
        return
    pair, before = parts(value)
    found, after = parts(PublicAddress(proxied(asked, forwarded, HOST)).cookie(value))
    assert found == pair
    ours = (b"domain", b"path")
    assert [item for item in after if item[0] not in ours] == [item for item in before if item[0] not in ours]
    for name, given in after:
        if name == b"domain" and (name, given) not in before:
            assert given == HOST
        if name == b"path" and (name, given) not in before:
            assert given.startswith(b"/")
