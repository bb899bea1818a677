"""ClientHello: what follows the message never matters, and a beginning of it always wants more."""

from __future__ import annotations

from gateway.connection import ClientHello
from gateway.listeners.client_hello import MAX_BYTES, read_client_hello
from gateway.listeners.peeking import Incomplete


def read(data: bytes) -> ClientHello | str:
    """What is said, or why there is nothing."""
    try:
        return read_client_hello(data)
    except Incomplete as error:
        assert len(data) < error.wanted <= 3 * MAX_BYTES + 5
        return "incomplete"
    except ValueError:
        return "none"


def check(data: bytes) -> None:
    hello = read(data)
    if not isinstance(hello, ClientHello):
        return
    assert hello == read(data + b"\x16\x03\x01\x00\x05hello")
    assert len(hello.server_name) + sum(map(len, hello.alpn)) <= len(data)
    assert hello.server_name == hello.server_name.lower()
    ends = [end for end in range(len(data)) if read(data[:end]) == hello]
    assert not ends or ends == list(range(ends[0], len(data)))
    assert all(read(data[:end]) == "incomplete" for end in range(ends[0] if ends else len(data)))
