"""An origin server whose every byte is the test's: it can answer, cut, reset, stall and trickle.

Owns a listening socket, a thread for each connection and the record of what arrived. A test gives a
*script*, called with the connection and the request head as soon as the head is there:

    def cut_in_the_middle(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf")
        connection.close()

    origin = Origin(cut_in_the_middle)

or literal bytes, which answer every request once its body was read. Does not interpret what it sends.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, cast

from gateway.testing.certificates import Certificate
from gateway.testing.waiting import wait_until
from gateway.testing.wire import CutShort, Message, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""The answer of an origin that was given no script."""


def reply(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A well-framed response; `fields` are whole header lines without the line end."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass
class SeenRequest(Message):
    """A request as the origin saw it. `body` and the body's part of `raw` grow while they are read."""

    connection: int = 0
    """1 for the first connection this origin accepted."""
    server_name: str | None = None
    """What the client asked for by SNI."""
    seen_at: float = field(default_factory=time.monotonic)
    is_complete: bool = False
    """Whether the whole body was read."""

    @property
    def method(self) -> str:
        """The method."""
        return self.start_line.split(b" ")[0].decode("latin-1")

    @property
    def target(self) -> bytes:
        """The request target as it came."""
        return self.start_line.split(b" ")[1]


class OriginConnection:
    """One accepted connection, in the hands of a script."""

    def __init__(self, sock: socket.socket, number: int, released: threading.Event) -> None:
        self.socket = sock
        self.number = number
        self.wire = Wire(sock)
        self.is_closed = False
        self.is_waiting = False
        """Whether the next request is waited for."""
        self._released = released

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a next request has come."""
        try:
            return self.is_waiting and not self.wire.has_data() and not select.select([self.socket], [], [], 0)[0]
        except (OSError, ValueError):  # closed meanwhile
            return True

    def send(self, data: bytes) -> None:
        """Send these bytes, whatever they are."""
        self.socket.sendall(data)

    def trickle(self, data: bytes, *, pieces: int, pause: float) -> None:
        """Send in that many pieces with a pause after each, in seconds."""
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            self.send(data[start : start + size])
            self._released.wait(pause)

    def read_body(self, request: SeenRequest) -> bytes:
        """Read the whole request body. CutShort if it ends too early; what came is in `request.body`."""
        if request.is_complete:
            return request.body
        try:
            self.wire.take_body(request)
        except EOFError as error:
            raise CutShort("the request body was cut") from error
        finally:
            request.raw = bytes(self.wire.raw)
        request.is_complete = True
        return request.body

    def receive(self) -> bytes:
        """Whatever comes next, raw; empty when the peer has closed."""
        return self.wire.take_some()

    def stall(self) -> None:
        """Neither read nor write until the test ends or gives another script."""
        self._released.wait()

    def wait_for(self, condition: Callable[[], object], within: float = 10.0) -> None:
        """Go on when the test says so; ends the connection if the test is over before."""
        deadline = time.monotonic() + within
        while not condition():
            if self._released.wait(0.005):
                raise ConnectionAbortedError("the test went on without us")
            assert time.monotonic() < deadline, f"the test did not say go within {within:g} s"

    def wait_closed(self, within: float = 10.0) -> float:
        """Read and drop until the peer closes; the time.monotonic() of that. TimeoutError if it does not."""
        self.socket.settimeout(within)
        try:
            while self.receive():
                pass
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            pass
        self.socket.settimeout(None)
        return time.monotonic()

    def reset(self) -> None:
        """End with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End with a FIN."""
        self.is_closed = True
        self.socket.close()

    def hang_up(self) -> None:
        """Wake a thread that is blocked on this connection, from another thread."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


Script: TypeAlias = Callable[[OriginConnection, SeenRequest], None]


class Origin:
    """A server on 127.0.0.1 (or `host`), port 0, or on a Unix socket; with TLS if a certificate is given."""

    def __init__(
        self,
        script: Script | bytes = OK,
        *,
        host: str = "127.0.0.1",
        unix_path: Path | str | None = None,
        tls: Certificate | None = None,
    ) -> None:
        self.requests: list[SeenRequest] = []
        self.opened = 0
        """Connections accepted so far."""
        self.failed_handshakes = 0
        self.server_names: list[str] = []
        self.errors: list[str] = []
        """What went wrong in scripts, but for peers that left."""
        self._context = self._tls_context(tls) if tls else None
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._open: set[OriginConnection] = set()
        self._latest: object = None
        """The peer that was accepted last."""
        self._script: Script = _as_script(script)
        self._listening = self._listen(host, unix_path)
        self._thread = threading.Thread(target=self._accept, name="origin", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was given to us; 0 for a Unix socket."""
        address = self._listening.getsockname()
        return address[1] if isinstance(address, tuple) else 0

    @property
    def url(self) -> str:
        """As an endpoint in a site file."""
        address = self._listening.getsockname()
        if not isinstance(address, tuple):
            return f"unix:{address}"
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"{'https' if self._context else 'http'}://{host}:{address[1]}"

    @property
    def open_now(self) -> int:
        """Connections that are open on our side. A peer's close is seen when the script reads or ends."""
        return len(self._open)

    @property
    def last(self) -> SeenRequest:
        """The latest request."""
        return self.requests[-1]

    def answer(self, script: Script | bytes) -> None:
        """Serve requests by another script from now on; scripts that stall are released."""
        with self._lock:
            former, self._released = self._released, threading.Event()
            self._script = _as_script(script)
        former.set()

    def reset(self, script: Script | bytes = OK) -> None:
        """Forget what was seen and serve by `script`; kept connections stay open."""
        self.answer(script)
        self.requests = []
        self.server_names = []
        self.errors = []

    def settle(self) -> None:
        """Wait until whatever was sent so far has been seen, be it of exchanges that nobody waits for any more."""
        address = self._listening.getsockname()
        with socket.create_connection(address) as last:  # connections are accepted in their order
            name = last.getsockname()
            wait_until(lambda: self._latest == name, message="the origin does not accept")
        wait_until(lambda: all(each.is_idle for each in list(self._open)), message="the origin is not done")

    def wait_for_requests(self, count: int = 1, within: float = 5.0) -> list[SeenRequest]:
        """Wait until so many requests were seen (by their heads)."""
        message = f"the origin did not see {count} requests"
        wait_until(lambda: len(self.requests) >= count, within=within, message=message)
        return self.requests

    def drop_connections(self) -> None:
        """Close every open connection now, idle ones too, and wait for that; others may be opened meanwhile."""
        with self._lock:
            dropped = set(self._open)
            for connection in dropped:
                connection.hang_up()
        self.answer(self._script)
        wait_until(lambda: dropped.isdisjoint(list(self._open)), message="origin connections still open")

    def stop_listening(self) -> None:
        """Refuse further connections; open ones go on."""
        try:
            self._listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join()
        self._listening.close()

    def close(self) -> None:
        """Stop listening and close every connection."""
        self.stop_listening()
        self.drop_connections()

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self, host: str, unix_path: Path | str | None) -> socket.socket:
        if unix_path is not None:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(unix_path))
        else:
            listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            listening.bind((host, 0))
        listening.listen(1024)
        return listening

    def _tls_context(self, certificate: Certificate) -> ssl.SSLContext:
        context = certificate.server_context()
        context.sni_callback = self._note_server_name
        return context

    def _note_server_name(self, sock: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name is not None:
            self.server_names.append(name)
            cast(ssl.SSLSocket, sock).server_hostname = name  # what wrap_socket() made

    def _accept(self) -> None:
        while True:
            try:
                sock, self._latest = self._listening.accept()
            except OSError:
                return
            self.opened += 1
            arguments = (sock, self.opened)
            threading.Thread(target=self._serve, args=arguments, name="origin connection", daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        connection = OriginConnection(sock, number, self._released)
        with self._lock:
            self._open.add(connection)
        try:
            if self._context is not None:
                connection.socket = self._context.wrap_socket(sock, server_side=True)
                connection.wire = Wire(connection.socket)
            elif sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not connection.is_closed:
                self._serve_one(connection)
        except ssl.SSLError:
            self.failed_handshakes += 1
        except (EOFError, OSError):  # the peer left, which is its right
            pass
        except Exception as error:
            self.errors.append(repr(error))
        finally:
            connection.socket.close()
            with self._lock:
                self._open.discard(connection)

    def _serve_one(self, connection: OriginConnection) -> None:
        connection.wire.forget()
        connection.is_waiting = True
        start_line, headers = connection.wire.take_head()
        connection.is_waiting = False
        request = SeenRequest(start_line, headers, bytes(connection.wire.raw), connection=connection.number)
        request.server_name = getattr(connection.socket, "server_hostname", None)
        self.requests.append(request)
        with self._lock:  # what releases a script is settled when it begins, also for one that stalls only later
            script, connection._released = self._script, self._released
        script(connection, request)
        if not connection.is_closed:
            connection.read_body(request)


class Held:
    """A script that answers when the test says so; with a `target`, any other request is answered at once."""

    def __init__(self, response: bytes = OK, target: bytes | None = None) -> None:
        self.response = response
        self.target = target
        self.released = threading.Event()
        """Set it, and those that wait are answered."""

    def __call__(self, connection: OriginConnection, request: SeenRequest) -> None:
        """Answer one request."""
        if self.target in (None, request.target):
            connection.wait_for(self.released.is_set)
        connection.send(self.response)


def _as_script(script: Script | bytes) -> Script:
    if not isinstance(script, bytes):
        return script

    def answer_literally(connection: OriginConnection, request: SeenRequest) -> None:
        connection.read_body(request)
        connection.send(script)

    return answer_literally
