"""X-Forwarded-For: the client is the peer, or an address that stands in the chain; no stranger is believed."""

from __future__ import annotations

import ipaddress
import re

from fuzz_input import fields

from gateway.admission import TrustedProxies
from gateway.headers import Headers
from gateway.model import Request

TRUSTED = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")))
ADDRESS = re.compile(r"[0-9A-Fa-f:.]+").fullmatch


def check(data: bytes) -> None:
    headers = Headers.adopt(fields(data))
    said = b",".join(headers.get_all("x-forwarded-for")).decode("latin-1")
    assert TRUSTED.client_of(Request(headers=headers, client="192.0.2.1")) == "192.0.2.1"
    client = TRUSTED.client_of(Request(headers=headers, client="10.0.0.1"))
    assert ADDRESS(client), client
    assert client == "10.0.0.1" or client in [hop.strip() for hop in said.split(",")]
