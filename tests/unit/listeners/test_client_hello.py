"""The first message of a TLS client: real ones from OpenSSL, broken ones, and anything at all."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection import ClientHello
from gateway.listeners.client_hello import MAX_BYTES, read_client_hello
from gateway.listeners.peeking import Incomplete


def hello(server_name: str | None = "a.example", alpn: list[str] | None = None) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.create_default_context()
    context.check_hostname = server_name is not None
    if server_name is None:
        context.verify_mode = ssl.CERT_NONE
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def in_records_of(size: int, data: bytes) -> bytes:
    """The same handshake message in shorter records (RFC 8446, 5.1)."""
    message = data[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(data[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def test_a_name_and_protocols_are_read():
    assert read_client_hello(hello("A.Example", ["h2", "http/1.1"])) == ClientHello("a.example", ("h2", "http/1.1"))


def test_a_client_may_say_neither():
    assert read_client_hello(hello(None)) == ClientHello("", ())


def test_what_follows_the_message_is_not_looked_at():
    assert read_client_hello(hello() + b"\x00garbage").server_name == "a.example"


@pytest.mark.parametrize("size", [60, 100, 400])
def test_it_may_be_spread_over_records(size):
    assert read_client_hello(in_records_of(size, hello(alpn=["h2"]))) == ClientHello("a.example", ("h2",))


def test_it_may_not_be_spread_over_very_many():
    with pytest.raises(ValueError, match="too many records"):
        read_client_hello(in_records_of(7, hello()))


def test_every_beginning_of_it_says_that_more_is_wanted():
    whole = hello()
    for size in range(len(whole)):
        with pytest.raises(Incomplete) as caught:
            read_client_hello(whole[:size])
        assert size < caught.value.wanted <= len(whole)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b"G", id="one letter of it"),
        pytest.param(b"\x16\x02", id="ssl 2"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="an empty record"),
        pytest.param(b"\x16\x03\x01\xff\xff", id="a record that is too long"),
        pytest.param(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", id="a ServerHello"),
        pytest.param(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", id="a message that is too long"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", id="a message that ends too early"),
    ],
)
def test_what_is_none_is_refused(data):
    with pytest.raises(ValueError, match=r"TLS|ClientHello"):
        read_client_hello(data)


@given(st.binary(max_size=200), st.integers(0, 600), st.integers(0, 600))
def test_no_bytes_do_more_than_be_refused(garbage, start, end):
    whole = hello(alpn=["h2"])
    for data in (garbage, b"\x16\x03\x01" + garbage, whole[:start] + garbage + whole[end:]):
        wanted = len(data) + 1
        with contextlib.suppress(ValueError):
            try:
                read_client_hello(data)
            except Incomplete as error:
                wanted = error.wanted
        assert len(data) < wanted <= 3 * MAX_BYTES
