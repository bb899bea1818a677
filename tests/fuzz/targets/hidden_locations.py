"""Location and Refresh: one that is rewritten never leads to a host that was not meant."""

from __future__ import annotations

import re

from fuzz_exchange import proxied
from fuzz_input import lines, path, value
from gateway_security.public_address import PublicAddress

from gateway.admission import host_name

HOSTS = {b"", b"www.example.com"}
AUTHORITY = re.compile(rb"(?:https?:)?[/\\]{2,}([^/\\?#]*)|https?:[/\\]?([^/\\?#]*)", re.IGNORECASE).match


def host_of(url: bytes) -> bytes:
    """The host that a browser would go to (WHATWG URL); empty for where it is already."""
    url = re.sub(rb"[\t\r\n]", b"", url.lstrip(bytes(range(33))))
    match = AUTHORITY(url)
    authority = b"" if match is None else match[1] if match[1] is not None else match[2]
    return authority.rpartition(b"@")[2].partition(b":")[0].lower()


def check(data: bytes) -> None:
    asked, forwarded, host, location = lines(data, 4)
    location = value(location)
    host = host if host_name(host) else b""
    address = PublicAddress(proxied(path(asked), path(forwarded), host))
    public = host.lower().partition(b":")[0]
    found = address.url(location)
    if found != location and not host.startswith(b"["):
        assert host_of(found) in (b"", public), found
    assert len(found) <= len(location) + len(asked) * 3 + len(host) + 10
    if location == location.strip() and location[:1] not in (b"'", b'"'):
        assert address.refresh(b"0;url=" + location) == b"0;url=" + found
