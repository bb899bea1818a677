"""Origins that die and come back at the same address, and a gRPC server that says what a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded
from hypothesis import settings

from gateway.testing import OK, Certificate, Origin, Script

settings.register_profile("health", deadline=None, database=None)
settings.load_profile("health")


class Lasting(Origin):
    """An origin whose port stays its own: `stop_listening()` kills it, `revive()` brings it back."""

    def __init__(self, script: Script | bytes = OK, tls: Certificate | None = None) -> None:
        self._place: tuple[str, int] = ("127.0.0.1", 0)
        super().__init__(script, tls=tls)
        self._place = ("127.0.0.1", self.port)
        self._url = super().url

    @property
    def url(self) -> str:
        """Known even while nobody listens."""
        return self._url

    @property
    def name(self) -> str:
        """As the gateway calls it."""
        return self._url.partition("//")[2]

    def die(self) -> None:
        """Refuse connections, and cut those that are open."""
        self.stop_listening()
        self.drop_connections()

    def revive(self) -> None:
        """Listen again."""
        self._listening = self._listen("127.0.0.1", None)
        self._thread = threading.Thread(target=self._accept, name="origin", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, in whatever state it is."""
        if self._listening.fileno() >= 0:
            self.stop_listening()
        self.drop_connections()

    def _listen(self, host: str, unix_path: Path | str | None) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(self._place)
        listening.listen(1024)
        return listening


@pytest.fixture
def lasting() -> Iterator[Callable[..., Lasting]]:
    """`lasting()`, `lasting(script)`: origins that can die and be revived."""
    with ExitStack() as stack:
        yield lambda *arguments, **settings: stack.enter_context(Lasting(*arguments, **settings))


class GrpcServer:
    """HTTP/2 on a free port. Answers each call with `fields`, `data` and `trailers`; keeps what was asked."""

    def __init__(self, tls: Certificate | None = None) -> None:
        self.fields = [(":status", "200"), ("content-type", "application/grpc")]
        self.data = b""
        self.say(1)
        self.trailers = [("grpc-status", "0")]
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.protocols: list[str | None] = []
        self._context = tls.server_context() if tls else None
        if self._context:
            self._context.set_alpn_protocols(["h2"])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="gRPC server", daemon=True)
        self._thread.start()

    def say(self, state: int) -> None:
        """Answer with a HealthCheckResponse, as protobuf writes it: nothing for a zero."""
        self.data = b"\x00\x00\x00\x00\x02\x08" + bytes((state,)) if state else bytes(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.settimeout(10)
            try:
                if self._context:
                    connection = self._context.wrap_socket(connection, server_side=True)
                    self.protocols.append(connection.selected_alpn_protocol())
                self._talk(connection)
            except OSError:
                pass  # the other side left
            connection.close()

    def _talk(self, connection: socket.socket) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.initiate_connection()
        connection.sendall(h2.data_to_send())
        asked = None
        while data := connection.recv(65536):
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    asked = dict(event.headers), bytearray()
                elif asked and hasattr(event, "data") and isinstance(event.data, bytes):
                    asked[1].extend(event.data)
                if isinstance(event, StreamEnded):
                    self.asked.append((asked[0], bytes(asked[1])))
                    self._answer(h2)
            connection.sendall(h2.data_to_send())

    def _answer(self, h2: H2Connection) -> None:
        h2.send_headers(1, self.fields, end_stream=not self.trailers and not self.data)
        if self.data:
            h2.send_data(1, self.data, end_stream=not self.trailers)
        if self.trailers:
            h2.send_headers(1, self.trailers, end_stream=True)

    def close(self) -> None:
        """End it."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listening.close()


@pytest.fixture
def grpc() -> Iterator[Callable[..., GrpcServer]]:
    """`grpc()`, `grpc(certificate)`: gRPC servers."""
    with ExitStack() as stack:

        def start(tls: Certificate | None = None) -> GrpcServer:
            server = GrpcServer(tls)
            stack.callback(server.close)
            return server

        yield start
