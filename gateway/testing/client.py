"""A client that sends literal bytes and reads what comes back.

Owns one raw connection. Does not retry, follow, decode or repair anything.
"""

from __future__ import annotations

import socket
import ssl
import struct
from types import TracebackType

from gateway.testing.wire import CutShort, Response, Wire

BODILESS = frozenset((204, 304))


class Client:
    """One connection to a listener: TCP (`("127.0.0.1", 80)`) or a Unix socket (a path)."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        timeout: float = 10.0,
        source: str | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        """Connect. `timeout` bounds each blocking step; `source` is the local IP address to come from;
        `receive_buffer` is SO_RCVBUF, for a client that shall be slow."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        if not isinstance(address, str) and ":" in address[0]:
            family = socket.AF_INET6
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(timeout)
            if receive_buffer is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source is not None:
                raw.bind((source, 0))
            raw.connect(address)
            if family != socket.AF_UNIX:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket: socket.socket = raw if tls is None else tls.wrap_socket(raw, server_hostname=server_name)
        except BaseException:
            raw.close()
            raise
        self.wire = Wire(self.socket)

    def start_tls(
        self, tls: ssl.SSLContext, server_name: str | None = None, session: ssl.SSLSession | None = None
    ) -> None:
        """Speak TLS from now on: after a PROXY header, or to take up an earlier session."""
        assert not isinstance(self.socket, ssl.SSLSocket)
        self.socket = tls.wrap_socket(self.socket, server_hostname=server_name, session=session)
        self.wire = Wire(self.socket)

    def send(self, data: bytes) -> None:
        """Send these bytes, all of them."""
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """Whatever comes next, empty when the peer has closed."""
        return self.wire.take_some()

    def read_response(self, method: str = "GET") -> Response:
        """The final response to a `method` request (1xx but 101 are noted in `.interim` and skipped).

        CutShort if the connection ends before the response does.
        """
        interim: list[int] = []
        while True:
            response = self._read_head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response.status)
        response.interim = interim
        if response.status != 101:
            self._read_body(response, method)
        return response

    def request(self, data: bytes, method: str | None = None) -> Response:
        """Send a whole request and read its response; the method is taken from the request line."""
        self.send(data)
        return self.read_response(method or data.split(b" ", 1)[0].decode("latin-1"))

    def read_until_closed(self) -> bytes:
        """Everything until the peer closes; a reset counts as a close."""
        received = bytearray()
        try:
            while data := self.receive():
                received += data
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            pass
        return bytes(received)

    def is_closed_by_peer(self, within: float = 5.0) -> bool:
        """Whether the peer closes, without sending a byte more, in time."""
        before = self.socket.gettimeout()
        self.socket.settimeout(within)
        try:
            return self.receive() == b""
        except TimeoutError:
            return False
        except (ConnectionResetError, ssl.SSLError):
            return True
        finally:
            self.socket.settimeout(before)

    def is_quiet(self, seconds: float) -> bool:
        """Whether nothing comes, not even an end, for so long. Also the way to let time pass in a test."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)
        return False

    def stop_sending(self) -> None:
        """Close the writing half."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Leave politely."""
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_head(self) -> Response:
        self.wire.forget()
        try:
            start_line, headers = self.wire.take_head()
        except (EOFError, ConnectionResetError, BrokenPipeError) as error:
            raise CutShort(f"no response head: {error}") from error
        if not start_line.startswith(b"HTTP/1."):
            raise CutShort(f"not a status line: {start_line!r}")
        return Response(start_line, headers, bytes(self.wire.raw))

    def _read_body(self, response: Response, method: str) -> None:
        if method == "HEAD" or response.status in BODILESS:
            return
        try:
            if response.is_chunked or response.content_length is not None:
                self.wire.take_body(response)
            else:
                self.wire.take_to_end(response)
        except (EOFError, ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
            raise CutShort(f"the response was cut: {error}", response) from error
        finally:
            response.raw = bytes(self.wire.raw)
