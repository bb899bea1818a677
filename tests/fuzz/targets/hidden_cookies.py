"""Set-Cookie: a rewrite changes Domain and Path alone, and Domain to the host that the client has asked."""

from __future__ import annotations

from fuzz_exchange import proxied
from fuzz_input import lines, path, value
from gateway_security.public_address import PublicAddress

HOST = b"www.example.com"


def parts(cookie: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Name and value, and the attributes."""
    pair, *rest = cookie.split(b";")
    split = [piece.partition(b"=") for piece in rest if piece.strip(b" \t")]
    return pair, [(name.strip(b" \t").lower(), value.strip(b" \t").lower()) for name, _, value in split]


def check(data: bytes) -> None:
    asked, forwarded, text = lines(data, 3)
    cookie = value(text)
    pair, before = parts(cookie)
    found, after = parts(PublicAddress(proxied(path(asked), path(forwarded), HOST)).cookie(cookie))
    assert found == pair
    ours = (b"domain", b"path")
    assert [item for item in after if item[0] not in ours] == [item for item in before if item[0] not in ours]
    for name, given in after:
        if name == b"domain" and (name, given) not in before:
            assert given == HOST
        if name == b"path" and (name, given) not in before:
            assert given.startswith(b"/")
