"""PROXY headers: what follows never matters, a beginning always wants more, and a client is a plain address."""

from __future__ import annotations

import ipaddress

from gateway.listeners.peeking import Incomplete
from gateway.listeners.proxy_protocol import MAX_V1_BYTES, MAX_V2_BYTES, ProxyHeader, read_proxy_header


def read(data: bytes) -> ProxyHeader | None:
    """The header, or None for what is none or not whole."""
    try:
        return read_proxy_header(data)
    except Incomplete as error:
        assert len(data) < error.wanted <= max(MAX_V1_BYTES, MAX_V2_BYTES)
    except ValueError:
        pass
    return None


def check(data: bytes) -> None:
    header = read(data)
    if header is None:
        return
    assert 0 < header.size <= len(data)
    assert 0 <= header.client_port <= 65535
    if header.client:
        address = ipaddress.ip_address(header.client)
        assert str(address) == header.client
        assert "%" not in header.client
        assert getattr(address, "ipv4_mapped", None) is None
    assert read(data[: header.size]) == read(data[: header.size] + b"\r\nx") == header
    assert read(data[: header.size - 1]) is None
