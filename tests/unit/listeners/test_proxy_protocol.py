"""The PROXY header, with the literal bytes of HAProxy's specification."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.listeners.peeking import Incomplete
from gateway.listeners.proxy_protocol import MAX_V1_BYTES, MAX_V2_BYTES, SIGNATURE, ProxyHeader, read_proxy_header

V2_IPV4 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes((192, 0, 2, 7, 198, 51, 100, 1)) + b"\xdd\xd5\x01\xbb"
V2_IPV6 = SIGNATURE + b"\x21\x21\x00\x24" + ipaddress.ip_address("2001:db8::7").packed * 2 + b"\xdd\xd5\x01\xbb"


@pytest.mark.parametrize(
    ("data", "client", "port"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 56789 443\r\n", "192.0.2.7", 56789),
        (b"PROXY TCP6 2001:DB8::7 2001:db8::1 56789 443\r\n", "2001:db8::7", 56789),
        (b"PROXY UNKNOWN\r\n", "", 0),
        (b"PROXY UNKNOWN ffff:f::1 ffff:f::2 65535 65535\r\n", "", 0),
        (V2_IPV4, "192.0.2.7", 56789),
        (V2_IPV6, "2001:db8::7", 56789),
        (SIGNATURE + b"\x20\x00\x00\x00", "", 0),
        (SIGNATURE + b"\x20\x11\x00\x0c" + V2_IPV4[16:], "", 0),
        (SIGNATURE + b"\x21\x31\x00\xd8" + b"/" * 216, "", 0),
        (V2_IPV4[:15] + b"\x13" + V2_IPV4[16:] + b"\x04\x00\x04abcd", "192.0.2.7", 56789),
    ],
    ids=[
        "1-tcp4", "1-tcp6", "1-unknown", "1-unknown-long", "2-ipv4", "2-ipv6", "2-local", "2-local-with-addresses",
        "2-unix", "2-with-more",
    ],
)  # fmt: skip
def test_a_header_says_who_the_client_is(data, client, port):
    assert read_proxy_header(data + b"GET / HTTP/1.1\r\n") == ProxyHeader(len(data), client, port)
    for size in range(len(data)):
        with pytest.raises(Incomplete) as caught:
            read_proxy_header(data[:size])
        assert size < caught.value.wanted <= len(data)


def test_an_ipv4_address_in_ipv6_clothes_is_one():
    mapped = ipaddress.ip_address("::ffff:192.0.2.7").packed
    assert read_proxy_header(V2_IPV6[:16] + mapped * 2 + V2_IPV6[48:]).client == "192.0.2.7"
    assert read_proxy_header(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 56789 443\r\n").client == "192.0.2.7"


def with_fields(*fields, header=V2_IPV4):
    """A header of version 2 with fields behind its addresses (2.2 of the specification)."""
    added = b"".join(bytes([kind]) + len(value).to_bytes(2, "big") + value for kind, value in fields)
    size = int.from_bytes(header[14:16], "big") + len(added)
    return header[:14] + size.to_bytes(2, "big") + header[16:] + added


ALPN, TLS_FACTS, NOOP = 0x01, 0x20, 0x04
USED_TLS = b"\x01" + bytes(4) + b"\x21\x00\x07TLSv1.3"


@pytest.mark.parametrize(
    ("header", "is_encrypted"),
    [
        (V2_IPV4, False),
        (with_fields((TLS_FACTS, USED_TLS)), True),
        (with_fields((TLS_FACTS, USED_TLS), header=V2_IPV6), True),
        (with_fields((NOOP, b""), (ALPN, b"h2"), (TLS_FACTS, USED_TLS), (NOOP, b"...")), True),
        (with_fields((TLS_FACTS, b"\x06" + bytes(4))), False),
        (with_fields((TLS_FACTS, b"")), False),
        (with_fields((NOOP, bytes([TLS_FACTS, 0, 5, 1, 0, 0, 0, 0]))), False),
        (with_fields((TLS_FACTS, USED_TLS), header=SIGNATURE + b"\x21\x00\x00\x00"), True),
        (with_fields((TLS_FACTS, USED_TLS), header=SIGNATURE + b"\x20\x00\x00\x00"), False),
    ],
    ids=["none", "v4", "v6", "others", "certificate-only", "empty", "within", "without-address", "local"],
)
def test_a_header_says_whether_the_client_speaks_tls(header, is_encrypted):
    read = read_proxy_header(header + b"GET")
    assert (read.size, read.is_encrypted) == (len(header), is_encrypted)


@pytest.mark.parametrize("added", [b"\x20", b"\x20\x00", b"\x20\x00\x06\x01\x00", b"\x04\x00\x00\x01\xff\xff"])
def test_a_field_that_ends_too_early_is_refused(added):
    header = V2_IPV4[:14] + (12 + len(added)).to_bytes(2, "big") + V2_IPV4[16:] + added
    with pytest.raises(ValueError, match="ends too early"):
        read_proxy_header(header)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXIES\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56789\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56789 443 1\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 56789 443\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 56789 443\r\n",
        b"PROXY TCP4 192.0.2.700 198.51.100.1 56789 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 443\r\n",
        b"PROXY TCP6 fe80::1%<b> ::1 56789 443\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 56789 443\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 56789 443\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY UNKNOWN " + b"x" * MAX_V1_BYTES,
        SIGNATURE + b"\x11\x11\x00\x0c" + V2_IPV4[16:],
        SIGNATURE + b"\x22\x11\x00\x0c" + V2_IPV4[16:],
        SIGNATURE + b"\x21\x11\x00\x08" + V2_IPV4[16:24],
        SIGNATURE + b"\x21\x11\xff\xff" + V2_IPV4[16:],
    ],
)
def test_what_is_none_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011  # that it is refused counts; ipaddress has its own words
        read_proxy_header(data)


@given(st.sampled_from([b"", SIGNATURE, b"PROXY ", b"PROXY TCP4 "]), st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(start, rest):
    data = start + rest
    wanted, header = len(data) + 1, ProxyHeader(1)
    with contextlib.suppress(ValueError):
        try:
            header = read_proxy_header(data)
        except Incomplete as error:
            wanted = error.wanted
    assert len(data) < wanted <= MAX_V2_BYTES
    assert 0 < header.size <= max(1, len(data))
    assert not header.client or ipaddress.ip_address(header.client)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_what_is_written_is_read(address, port):
    line = f"PROXY TCP{address.version} {address} {address} {port} 443\r\n".encode()
    client = getattr(address, "ipv4_mapped", None) or address
    assert read_proxy_header(line) == ProxyHeader(len(line), str(client), port)
