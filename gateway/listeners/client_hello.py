"""Read the first message of a TLS client without answering it (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301, 3.1).

Owns the bytes of a ClientHello. Proves nothing: what it says is the client's word.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.connection import ClientHello
from gateway.listeners.peeking import Incomplete

MAX_BYTES = 16 * 1024
"""Browsers send 600 to 1,800 bytes; longer ones are not looked at."""
MAX_RECORDS = 16
"""Over so many it may be spread; clients take one. Each is looked at anew when a further one has come."""

_CLIENT_HELLO = 1
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4
_SERVER_NAME, _ALPN = 0, 16


def read_client_hello(data: bytes) -> ClientHello:
    """What stands in the ClientHello that a connection begins with.

    Raises Incomplete as long as it is not whole, ValueError if it is none.
    """
    message = _message(data)
    if len(message) > MAX_BYTES:
        raise ValueError("the ClientHello is too long")
    try:
        return _read(_Reader(message))
    except IndexError:
        raise ValueError("the ClientHello ends too early") from None


def _message(data: bytes) -> bytes:
    """The body of the handshake message, which may be spread over several records (RFC 8446, 5.1)."""
    gathered, at, length = b"", 0, -1
    for _ in range(MAX_RECORDS):
        if 0 <= length <= len(gathered):
            return gathered[_MESSAGE_HEAD:length]
        if len(data) < at + _RECORD_HEAD:
            _refuse_other_than_tls(data[at:])
            raise Incomplete(at + _RECORD_HEAD)
        _refuse_other_than_tls(data[at:])
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < size <= MAX_BYTES or at > 2 * MAX_BYTES:
            raise ValueError("no TLS record of a ClientHello")
        end = at + _RECORD_HEAD + size
        if len(data) < end:
            raise Incomplete(end)
        gathered += data[at + _RECORD_HEAD : end]
        at = end
        if length < 0 and len(gathered) >= _MESSAGE_HEAD:
            if gathered[0] != _CLIENT_HELLO:
                raise ValueError("the first message is no ClientHello")
            length = _MESSAGE_HEAD + int.from_bytes(gathered[1:4], "big")
            if length > MAX_BYTES:
                raise ValueError("the ClientHello is too long")
    raise ValueError("the ClientHello comes in too many records")


def _refuse_other_than_tls(record: bytes) -> None:
    if record[:1] not in (b"", b"\x16") or record[1:2] not in (b"", b"\x03"):
        raise ValueError("the client does not speak TLS")


class _Reader:
    """Takes fields from the front. Raises IndexError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise IndexError
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """A field that is preceded by its length, in so many bytes."""
        return self.take(self.number(size))


def _read(message: _Reader) -> ClientHello:
    message.take(2 + 32)  # version and random
    message.vector(1)  # session id
    message.vector(2)  # cipher suites
    message.vector(1)  # compression methods
    server_name = ""
    alpn: tuple[str, ...] = ()
    if not message.is_empty:
        extensions = _Reader(message.vector(2))
        while not extensions.is_empty:
            kind, content = extensions.number(2), _Reader(extensions.vector(2))
            if kind == _SERVER_NAME:
                server_name = _server_name(content)
            elif kind == _ALPN:
                alpn = tuple(_protocols(content))
    return ClientHello(server_name, alpn)


def _server_name(content: _Reader) -> str:
    names = _Reader(content.vector(2))
    while not names.is_empty:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return name.decode("ascii", "replace").lower().rstrip(".")
    return ""


def _protocols(content: _Reader) -> Iterator[str]:
    protocols = _Reader(content.vector(2))
    while not protocols.is_empty:
        yield protocols.vector(1).decode("latin-1")
