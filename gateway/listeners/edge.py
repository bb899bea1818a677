"""Edge listeners: accept connections ourselves, for what Granian cannot do, and hand plaintext on to it.

Takes the PROXY protocol, asks plugins about connections, has TLS terminated by a plugin's contexts; then bytes go
to Granian servers of this process on loopback, which serve requests as ever. A map by local port tells an exchange
whose connection it came over; a request that came over none of ours is not served.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Any

from gateway.config.addresses import Address
from gateway.config.model import Limits, Listener
from gateway.connection import Connection, Deny, TLSSession
from gateway.listeners.client_hello import MAX_BYTES, read_client_hello
from gateway.listeners.connections import Watched, address_of
from gateway.listeners.exchange import Host
from gateway.listeners.http import HttpListener
from gateway.listeners.peeking import peek
from gateway.listeners.proxy_protocol import MAX_V2_BYTES, read_proxy_header
from gateway.listeners.relay import Side

if TYPE_CHECKING:
    from gateway.app import App

log = logging.getLogger("gateway.listeners")

ACCEPT_AT_ONCE = 64
"""So many are accepted before the loop turns to what else there is."""
DENIALS_SECONDS = 10.0
ACCEPT_LATER_SECONDS = 0.1
"""A pause after the system had no descriptor left for a connection."""

_SCHEMES = {"http": "https", "ws": "wss"}


class Edge:
    """The connections of one listener, by the local port of their inner side."""

    def __init__(self) -> None:
        self.connections: dict[int, Connection] = {}

    def identify(self, exchange: Any) -> bool:
        """Tell an exchange whose it is; False if its connection is none of ours."""
        request = exchange.request
        connection = self.connections.get(request.client_port)
        if connection is None:
            return False
        exchange.connection = connection
        request.peer = request.client = connection.client
        request.client_port = connection.client_port
        if connection.tls is not None:
            request.scheme = _SCHEMES[request.scheme]
        return True


class EdgeListener:
    """Accepts on a socket that was bound before."""

    def __init__(self, index: int, settings: Listener, limits: Limits, host: Host, bound: socket.socket) -> None:
        """`index` is the listener's place in the configuration, by which an App knows how TLS is terminated."""
        self.settings = settings
        self._index = index
        self._limits = limits
        self._host = host
        self._edge = host.edge = Edge()
        self._bound = bound
        self._address = None if bound.family == socket.AF_UNIX else address_of(bound.getsockname())
        self._inner: dict[str, HttpListener] = {}
        """By the version of HTTP that they speak."""
        self._denials: Counter[str] = Counter()
        self._is_accepting = False
        self._tasks: set[asyncio.Task[None]] = set()
        """One for each connection."""

    @property
    def watched(self) -> tuple[Watched, ...]:
        """What a patrol is told of it: both sides, of which the inner one knows who has exchanges under way."""
        inner = tuple(watched for listener in self._inner.values() for watched in listener.watched)
        if self._address is None:
            return inner
        return (Watched(self.settings.label, self._address, 0.0, None), *inner)

    def start(self) -> None:
        """Accept connections from now on."""
        mode = self.settings.http_mode
        for version in ("1", "2") if mode == "auto" else (mode,):
            self._inner[version] = self._open_inner(version)
        self._accept_again()

    def _open_inner(self, version: str) -> HttpListener:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind(("127.0.0.1", 0))
        bound.listen(self.settings.backlog)
        bound.setblocking(False)
        address = Address("127.0.0.1", bound.getsockname()[1])
        inner = self.settings.model_copy(update={"bind": address, "tls": None, "http": version})
        listener = HttpListener(inner, self._limits, self._host, bound)
        listener.start()
        return listener

    def stop_accepting(self) -> None:
        """Leave new connections to the others that share the socket; those accepted go on."""
        self._pause_accepting()
        self._bound.close()

    async def stop(self) -> None:
        """Close idle connections, let exchanges in flight end, and return when the last has."""
        await asyncio.gather(*(listener.stop() for listener in self._inner.values()))
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- accepting ---------------------------------------------------------------------------------------------

    def _accept_again(self) -> None:
        if not self._is_accepting and self._bound.fileno() >= 0 and not self._is_full:
            self._is_accepting = True
            asyncio.get_running_loop().add_reader(self._bound.fileno(), self._accept)

    def _pause_accepting(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            asyncio.get_running_loop().remove_reader(self._bound.fileno())

    @property
    def _is_full(self) -> bool:
        return len(self._tasks) >= self.settings.max_connections

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if self._is_full:
                return self._pause_accepting()  # more wait in the backlog
            try:
                peer, address = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return None
            except OSError as error:
                return self._accept_later(error)
            peer.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._serve(peer, address))
            self._tasks.add(task)
            task.add_done_callback(self._forget)
        return None

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._accept_again()

    def _accept_later(self, error: OSError) -> None:
        self._pause_accepting()
        log.warning("listener %s: a connection cannot be accepted: %s", self.settings.label, error.strerror)
        asyncio.get_running_loop().call_later(ACCEPT_LATER_SECONDS, self._accept_again)

    # -- one connection ----------------------------------------------------------------------------------------

    async def _serve(self, peer: socket.socket, address: Any) -> None:
        """A connection from its first byte to its end; whatever fails on the way ends this one alone."""
        host, port = address[:2] if isinstance(address, tuple) else ("", 0)
        connection = Connection(host, host, port, self.settings.label)
        app = self._host.app
        seconds = self.settings.handshake_timeout
        has_passed = False
        try:
            async with asyncio.timeout(seconds or None):
                await self._look_ahead(app, connection, peer)
                denied = await app.connection_hooks.connect(connection)
                has_passed = denied is None
                if denied is not None:
                    app.connections_denied += 1
                    return self._tell_denied(connection, denied)
                outer = await self._terminate(app, connection, peer)
                await self._join(outer, connection)
            await outer.lost
        except TimeoutError:
            app.handshakes_failed += 1
            self._tell(connection, f"its handshake took more than {seconds:g} s")
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            app.handshakes_failed += 1
            self._tell(connection, str(error))
        except Exception:
            log.exception("listener %s: %r failed", self.settings.label, connection)
        finally:
            peer.close()
            self._edge.connections.pop(connection.inner_port, None)
            if has_passed:
                app.connection_hooks.disconnect(connection)

    def _tell(self, connection: Connection, what: str) -> None:
        log.debug("listener %s: %r: %s", self.settings.label, connection, what)

    def _tell_denied(self, connection: Connection, denied: Deny) -> None:
        """Tell of the first, and of the others how many they were: a flood of them must not flood the log."""
        if not self._denials:
            log.info("listener %s: denied %s: %s", self.settings.label, connection.client, denied.reason)
            asyncio.get_running_loop().call_later(DENIALS_SECONDS, self._count_denials)
        self._denials[denied.reason] += 1

    def _count_denials(self) -> None:
        told, self._denials = self._denials, Counter()
        for reason, count in told.items():
            seconds = DENIALS_SECONDS
            log.info("listener %s: denied %d within %g s: %s", self.settings.label, count, seconds, reason)

    async def _look_ahead(self, app: App, connection: Connection, peer: socket.socket) -> None:
        """What the connection begins with, before anybody answers."""
        if self.settings.proxy_protocol:
            if connection.peer and not app.is_trusted_peer(connection.peer):
                raise ValueError("the peer is not among trusted_proxies, and so may not say who the client is")
            header = await peek(peer, read_proxy_header, MAX_V2_BYTES)
            _skip(peer, header.size)
            if header.client:
                connection.client, connection.client_port = header.client, header.client_port
        if self.settings.tls is not None:
            connection.hello = await peek(peer, read_client_hello, 2 * MAX_BYTES)

    async def _terminate(self, app: App, connection: Connection, peer: socket.socket) -> Side:
        """The client's side, with TLS taken off."""
        hello = connection.hello
        outer = Side(can_half_close=hello is None)
        terminator = app.ways[self._index].terminator
        context = terminator.context(hello) if terminator is not None and hello is not None else None
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: outer, peer, ssl=context)
        if hello is not None:
            connection.tls = _session(transport.get_extra_info("ssl_object"), hello.server_name)
        return outer

    async def _join(self, outer: Side, connection: Connection) -> None:
        """Open the inner side, and let the bytes flow."""
        inner = Side()
        listener = self._inner.get("2" if connection.speaks_http2 else "1") or next(iter(self._inner.values()))
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: inner, "127.0.0.1", listener.settings.bind.port)
        except BaseException:
            outer.transport.abort()
            raise
        connection.inner_port = inner.transport.get_extra_info("sockname")[1]
        self._edge.connections[connection.inner_port] = connection
        outer.join(inner)

    def __repr__(self) -> str:
        return f"<EdgeListener {self.settings.url}: {len(self._tasks)} connections>"


def _skip(peer: socket.socket, size: int) -> None:
    """Take away what has been looked at, and so is there."""
    while size:
        size -= len(peer.recv(size))


def _session(agreed: ssl.SSLObject, server_name: str) -> TLSSession:
    cipher = agreed.cipher()
    return TLSSession(
        version=agreed.version() or "",
        cipher=cipher[0] if cipher else "",
        server_name=server_name,
        alpn=agreed.selected_alpn_protocol() or "",
        certificate=agreed.getpeercert(binary_form=True),
    )
