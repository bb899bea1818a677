"""Read HTTP/1.1 messages from a blocking socket, strictly, and keep every byte that was read.

Owns the parsing that `Origin` and `Client` share. Deliberately not the gateway's own parser: a test
that used the code under test to judge it would agree with its mistakes.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

RawHeaders = list[tuple[bytes, bytes]]


class BadWire(AssertionError):
    """The peer sent what no HTTP/1.1 peer may send."""


class CutShort(ConnectionError):
    """The connection ended before the message did; `response` is what came of it, if the head came."""

    def __init__(self, message: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.response = response


@dataclass
class Message:
    """A start line, header fields as they came (case and order kept) and a decoded body."""

    start_line: bytes
    headers: RawHeaders
    raw: bytes = b""
    """Every byte read of this message, framing included."""
    body: bytes = b""
    """The body without its framing."""

    def header(self, name: str | bytes) -> bytes | None:
        """The first value of a field, None if it is absent."""
        values = self.header_all(name)
        return values[0] if values else None

    def header_all(self, name: str | bytes) -> list[bytes]:
        """Every value of a field, in order."""
        wanted = (name.encode() if isinstance(name, str) else name).lower()
        return [value for key, value in self.headers if key.lower() == wanted]

    @property
    def names(self) -> list[bytes]:
        """Field names in lower case, in order."""
        return [name.lower() for name, _ in self.headers]

    @property
    def is_chunked(self) -> bool:
        """Whether the body came in the chunked coding."""
        return b"chunked" in b",".join(self.header_all(b"transfer-encoding")).lower()

    @property
    def content_length(self) -> int | None:
        """The promised length; a field that is repeated or is no number is a failure of the peer."""
        values = self.header_all(b"content-length")
        if not values:
            return None
        if len(values) > 1 or not values[0].isdigit() or self.header(b"transfer-encoding") is not None:
            raise BadWire(f"ambiguous framing: {self.headers}")
        return int(values[0])


@dataclass
class Response(Message):
    """What a client read."""

    interim: list[int] = field(default_factory=list)
    """Statuses of the 1xx responses that came before it."""

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.start_line.split(b" ", 2)[1])

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class Wire:
    """The reading side of one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()
        self.raw = bytearray()
        """What was taken since the last `forget`."""

    def forget(self) -> None:
        """Begin a new message: drop the record of the bytes of the last one."""
        self.raw.clear()

    def has_data(self) -> bool:
        """Whether bytes were received and not yet taken."""
        return bool(self._buffer)

    def take_some(self) -> bytes:
        """What is there already, or else whatever comes next; empty at the end. Not recorded in `raw`."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        return self._socket.recv(1 << 16)

    def take_until(self, mark: bytes) -> bytes:
        """Up to and including `mark`; EOFError if the end comes first (what came stays untaken)."""
        searched = 0
        while (found := self._buffer.find(mark, max(0, searched - len(mark)))) < 0:
            searched = len(self._buffer)
            self._fill()
        return self._take(found + len(mark))

    def take_head(self) -> tuple[bytes, RawHeaders]:
        """A start line and header fields. EOFError at the end of the connection."""
        lines = self.take_until(b"\r\n\r\n")[:-4].split(b"\r\n")
        return lines[0], [parse_field(line) for line in lines[1:]]

    def take_body(self, message: Message) -> None:
        """Read the body that a message's own framing announces; EOFError leaves what came in `body`."""
        body = bytearray()
        try:
            if message.is_chunked:
                self._take_chunked(body)
            else:
                self._take_exactly(message.content_length or 0, body)
        finally:
            message.body = bytes(body)

    def take_to_end(self, message: Message) -> None:
        """Read a body that ends with the connection."""
        body = bytearray()
        try:
            while data := self.take_some():
                body += data
                self.raw += data
        finally:
            message.body = bytes(body)

    def _take_chunked(self, into: bytearray) -> None:
        while True:
            line = self.take_until(b"\r\n")[:-2].partition(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError:
                raise BadWire(f"bad chunk size {line!r}") from None
            if size == 0:
                break
            self._take_exactly(size, into)
            if (end := self._take_now(2)) != b"\r\n":
                raise BadWire(f"chunk of {size} bytes ends with {end!r}")
        while self.take_until(b"\r\n") != b"\r\n":  # trailers
            pass

    def _take_exactly(self, count: int, into: bytearray) -> None:
        while count > 0:
            if not self._buffer:
                self._fill()
            data = self._take(min(count, len(self._buffer)))
            into += data
            count -= len(data)

    def _take_now(self, count: int) -> bytes:
        data = bytearray()
        self._take_exactly(count, data)
        return bytes(data)

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        self.raw += data
        return data

    def _fill(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise EOFError("the peer closed the connection")
        self._buffer += data


def parse_field(line: bytes) -> tuple[bytes, bytes]:
    """`Name: value` without the optional white space around the value."""
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise BadWire(f"not a header field: {line!r}")
    return name, value.strip(b" \t")
