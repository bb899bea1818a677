"""Edge listeners: accept connections ourselves, for what Granian cannot do, and hand plaintext on to it.

Takes the PROXY protocol, asks plugins about connections, has TLS terminated by a plugin's contexts; then bytes go
to Granian servers of this process on loopback (`inner`), which serve requests as ever.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from gateway.config.model import Limits, Listener
from gateway.connection import Connection, TLSSession
from gateway.handshakes import alert_of, reason_of
from gateway.listeners.client_hello import MAX_BYTES, read_client_hello
from gateway.listeners.connections import LONGEST_PAUSE, ROUNDS, SHORTEST_PAUSE, Watched, address_of
from gateway.listeners.exchange import Host
from gateway.listeners.farewell import say_last
from gateway.listeners.inner import Inner
from gateway.listeners.peeking import Incomplete, NothingSaid, peek
from gateway.listeners.proxy_protocol import MAX_V2_BYTES, read_proxy_header
from gateway.listeners.relay import Side
from gateway.listeners.telling import Telling

if TYPE_CHECKING:
    from gateway.app import App

log = logging.getLogger("gateway.listeners")

ACCEPT_AT_ONCE = 64
"""So many are accepted before the loop turns to what else there is."""
WARNINGS_SECONDS = 10.0
SHUTDOWN_SECONDS = 120.0
"""For the last of a response that the system holds, and the client's word that it has it, over TLS."""
MAX_NAME = 253
"""Of a host's name (RFC 1035 2.3.4), so much of what a client calls one is told."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113 3.4."""
ACCEPT_LATER_SECONDS = 0.1
"""A pause after the system had no descriptor left for a connection."""


class EdgeListener:
    """Accepts on a socket that was bound before."""

    def __init__(self, index: int, settings: Listener, limits: Limits, app: App, bound: socket.socket) -> None:
        """`index` is the listener's place in the configuration, by which an App knows how TLS is terminated."""
        self.settings = settings
        self._index = index
        self._bound = bound
        self._address = None if bound.family == socket.AF_UNIX else address_of(bound.getsockname())
        mode = settings.http_mode
        versions = ("1", "2") if mode == "auto" else (mode,)
        self._inner = {version: Inner(version, settings, limits, app) for version in versions}
        self._denials = Telling(settings.label, "denied")
        self._failures = Telling(settings.label, "no handshake with")
        self._is_accepting = False
        self._warned = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        """One for each connection."""
        self._arriving: set[asyncio.Task[None]] = set()
        """Those that are not handed on yet."""
        self._looking: asyncio.Task[None] | None = None

    @property
    def hosts(self) -> tuple[Host, ...]:
        """What its servers serve with."""
        return tuple(inner.host for inner in self._inner.values())

    @property
    def watched(self) -> tuple[Watched, ...]:
        """What a patrol is told of it: how clients take what is sent; the rest we see ourselves."""
        return () if self._address is None else (Watched(self.settings.label, self._address, 0.0, None),)

    def start(self) -> None:
        """Accept connections from now on."""
        for inner in self._inner.values():
            inner.start()
        self._looking = asyncio.get_running_loop().create_task(self._look_after())
        self._accept_again()

    async def _look_after(self) -> None:
        pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, self.settings.header_timeout / ROUNDS))
        while True:
            await asyncio.sleep(pause)
            try:
                for inner in self._inner.values():
                    inner.look_after(time.monotonic())
            except Exception:
                log.exception("listener %s: cannot look after its connections", self.settings.label)

    def stop_accepting(self) -> None:
        """Leave new connections to the others that share the socket; those accepted go on."""
        self._pause_accepting()
        self._bound.close()

    async def stop(self) -> None:
        """Close idle connections, let exchanges in flight end, and return when the last has."""
        await asyncio.gather(*(inner.stop() for inner in self._inner.values()))
        for task in self._arriving:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._looking is not None:
            self._looking.cancel()

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
            app = self.hosts[0].app
            task = asyncio.get_running_loop().create_task(self._serve(app, peer, address))
            self._tasks.add(task)
            self._arriving.add(task)
            task.add_done_callback(self._forget)
        return None

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._arriving.discard(task)
        self._accept_again()

    def _accept_later(self, error: OSError) -> None:
        self._pause_accepting()
        self._warn(f"a connection cannot be accepted: {error.strerror}")
        asyncio.get_running_loop().call_later(ACCEPT_LATER_SECONDS, self._accept_again)

    # -- one connection ----------------------------------------------------------------------------------------

    async def _serve(self, app: App, peer: socket.socket, address: Any) -> None:
        """A connection from its first byte to its end; whatever fails on the way ends this one alone."""
        host, port = address[:2] if isinstance(address, tuple) else ("", 0)
        connection = Connection(host, host, port, self.settings.label)
        seconds = self.settings.handshake_timeout
        has_passed = False
        app.connections += 1
        try:
            async with asyncio.timeout(seconds or None):
                await self._look_ahead(app, connection, peer)
                denied = await app.connection_hooks.connect(connection)
                has_passed = denied is None
                if denied is not None:
                    app.connections_denied += 1
                    return self._denials.tell(_name(connection.client), denied.reason)
                outer = await self._hand_on(app, connection, peer)
            self._arriving.discard(asyncio.current_task())
            await outer.lost
        except TimeoutError:
            app.handshakes_failed += 1
            self._failures.tell(_who(connection), f"it took more than {seconds:g} s")
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            app.handshakes_failed += 1
            await self._refuse(connection, peer, error)
        except Exception:
            log.exception("listener %s: %r failed", self.settings.label, connection)
        finally:
            peer.close()
            app.connections -= 1
            if has_passed:
                app.connection_hooks.disconnect(connection)

    def _warn(self, what: str) -> None:
        """At most now and then: what lacks one moment lacks the next one, too."""
        now = time.monotonic()
        if now >= self._warned + WARNINGS_SECONDS:
            self._warned = now
            log.warning("listener %s: %s", self.settings.label, what)

    async def _refuse(self, connection: Connection, peer: socket.socket, error: Exception) -> None:
        """Tell the log why there was no handshake, and the client, where TLS has a word for it."""
        if isinstance(error, NothingSaid | _NotHandedOn):  # as health checks do; and what a warning tells of
            log.debug("listener %s: %r: %s", self.settings.label, connection, error)
            return
        self._failures.tell(_who(connection), reason_of(error))
        alert = alert_of(error)
        if alert:
            await say_last(peer, alert)

    async def _look_ahead(self, app: App, connection: Connection, peer: socket.socket) -> None:
        """What the connection begins with, before anybody answers."""
        if self.settings.proxy_protocol:
            if connection.peer and not app.is_trusted_peer(connection.peer):
                raise ValueError("the peer is not among trusted_proxies, and so may not say who the client is")
            header = await peek(peer, read_proxy_header, MAX_V2_BYTES)
            _skip(peer, header.size)
            connection.is_encrypted, connection.is_anonymous = header.is_encrypted, not header.client
            if header.client:
                connection.client, connection.client_port = header.client, header.client_port
        if self.settings.tls is not None:
            connection.hello = await peek(peer, read_client_hello, 2 * MAX_BYTES)
        elif len(self._inner) > 1:
            connection.speaks_http2 = await peek(peer, begins_as_http2, len(PREFACE))

    async def _hand_on(self, app: App, connection: Connection, peer: socket.socket) -> Side:
        """The client's side, with TLS taken off, joined to a server of ours."""
        hello = connection.hello
        outer = Side(can_half_close=hello is None)
        terminator = app.ways[self._index].terminator
        context = terminator.context(hello) if terminator is not None and hello is not None else None
        # A loop closes at once when a handshake fails: it gets a descriptor of its own, ours is for the alert.
        taken = peer if context is None else peer.dup()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: outer, taken, ssl=context, ssl_shutdown_timeout=SHUTDOWN_SECONDS if context else None
            )
            if context is not None and hello is not None:
                peer.close()
                connection.tls = session = _session(outer.transport.get_extra_info("ssl_object"), hello.server_name)
                connection.is_encrypted, connection.speaks_http2 = True, session.alpn == "h2"
            inner = self._inner.get("2" if connection.speaks_http2 else "1") or next(iter(self._inner.values()))
            await self._open(inner, connection, outer)
        except BaseException:
            if outer.transport is not None:
                outer.transport.abort()
            raise
        return outer

    async def _open(self, inner: Inner, connection: Connection, outer: Side) -> None:
        try:
            await inner.open(connection, outer)
        except OSError as error:  # not the client's fault
            self._warn(f"a connection cannot be handed on: {error.strerror}")
            raise _NotHandedOn(error.strerror) from error

    def __repr__(self) -> str:
        return f"<EdgeListener {self.settings.url}: {len(self._tasks)} connections>"


class _NotHandedOn(OSError):
    """Our own server took no connection; the log has it already."""


def _name(client: str) -> str:
    return client or "a Unix socket"


def _who(connection: Connection) -> str:
    """The client, and the host that it wants: its own word, in which anything may stand."""
    wanted = connection.hello.server_name if connection.hello is not None else ""
    return f"{_name(connection.client)}, which wants {wanted[:MAX_NAME]!r}" if wanted else _name(connection.client)


def _skip(peer: socket.socket, size: int) -> None:
    """Take away what has been looked at, and so is there."""
    while size:
        size -= len(peer.recv(size))


def begins_as_http2(data: bytes) -> bool:
    """Whether a client without TLS speaks HTTP/2 from the start. Raises Incomplete."""
    if len(data) < len(PREFACE) and PREFACE.startswith(data):
        raise Incomplete(len(PREFACE))
    return data.startswith(PREFACE)


def _session(agreed: ssl.SSLObject, server_name: str) -> TLSSession:
    cipher = agreed.cipher()
    return TLSSession(
        version=agreed.version() or "",
        cipher=cipher[0] if cipher else "",
        server_name=server_name,
        alpn=agreed.selected_alpn_protocol() or "",
        certificate=agreed.getpeercert(binary_form=True),
    )
