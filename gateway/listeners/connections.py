"""Cut the connections of clients that take nothing, take too little, or say nothing.

Granian waits for its clients without end: it knows no limit for what it writes, nor, where it speaks HTTP/2, for
the time before a request; a TLS handshake has ten seconds, whatever the configuration says. An error does not reach
it while a write waits, and its sockets are its own. The system knows them all: how much of what was written each
client has acknowledged, and how much still waits. So every few seconds a patrol walks past the open sockets of this
process. It costs requests nothing, and sees what nothing else does, such as a response handed over as a whole.

Owns the walk and the record of who has exchanges under way. Does not know HTTP.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from gateway.admission import Bounds
    from gateway.config.model import Listener
    from gateway.model import Request

log = logging.getLogger("gateway.listeners")

Peer: TypeAlias = tuple[str, int]

ROUNDS = 4
"""How often a patrol comes by within the shortest of its timeouts: so much later than due a connection is cut."""

LONGEST_PAUSE, SHORTEST_PAUSE = 15.0, 0.05
TURN = 100
"""Sockets that are looked at before others have their turn of the loop: a millisecond."""

MAX_STALLED = 8
"""Streams of one HTTP/2 connection whose client takes nothing, and that do not yet cost it the connection: a player
that is paused has one or two, and the requests beside them are innocent."""

MAX_LIVE = 200
"""Exchanges under way over one connection. A client may have half as many streams open (`http.H2_STREAMS`). It
takes a moment until an exchange whose stream was reset has ended: who resets faster has more (CVE-2023-44487)."""

PING_RATE = 16
"""Bytes a second that pass over an HTTP/2 connection that is idle."""

_SO_COOKIE = 57
_LISTENING = 10
_INFO = struct.Struct("=B23xI92xQ16xI")
"""Of `struct tcp_info` in linux/tcp.h: state, segments under way, bytes acknowledged, bytes not sent yet."""


class Client:
    """What is known of one connection beside what the system knows."""

    __slots__ = ("idle_since", "is_condemned", "live", "stalled", "waited_at")

    def __init__(self) -> None:
        self.live = 0
        """Exchanges under way."""
        self.stalled = 0
        """Exchanges that ended because the client took nothing of them; Granian still holds their last pieces."""
        self.idle_since = 0.0
        self.waited_at = 0.0
        """When something was last seen to wait for the client to take it, so that no stream of it got further."""
        self.is_condemned = False
        """Whether it is to be cut, whatever it does from now on."""

    def leave(self, *, has_stalled: bool = False) -> None:
        """An exchange is over; whether it is so because the client took nothing of its response."""
        self.live -= 1
        self.stalled += has_stalled
        if not self.live:
            self.idle_since = time.monotonic()
        if self.stalled and (not self.live or self.stalled > MAX_STALLED):
            self.is_condemned = True


class Clients:
    """Which connections of a listener have exchanges under way.

    Kept only where Granian has no limit for idle connections: with HTTP/2, and before a TLS handshake is over. Not
    for a Unix socket, whose clients have no addresses to be told apart by.
    """

    def __init__(self) -> None:
        self._known: dict[Peer, Client] = {}

    @classmethod
    def of(cls, listener: Listener) -> Clients | None:
        """Those of a listener, where they are kept."""
        is_needed = (listener.tls is not None or listener.http_mode != "1") and not listener.bind.path
        return cls() if is_needed else None

    def enter(self, request: Request) -> Client:
        """An exchange begins on this connection, which is told by `leave` when it is over."""
        # hot: h2
        peer = (request.peer, request.client_port)
        client = self._known.get(peer)
        if client is None:
            client = self._known[peer] = Client()
        client.live += 1
        if client.live > MAX_LIVE:
            client.is_condemned = True
        return client

    def find(self, peer: Peer) -> Client | None:
        """Who that is; None before the first request."""
        return self._known.get(peer)

    def keep(self, open_now: set[Peer]) -> None:
        """Forget those whose connection is gone."""
        for peer in [peer for peer, client in self._known.items() if not client.live and peer not in open_now]:
            del self._known[peer]


class Watched(NamedTuple):
    """A listener that a patrol looks after."""

    label: str
    address: Peer
    """What it is bound to, so that it can be told from others by its connections' own address."""
    idle_timeout: float
    """Seconds without an exchange; only where `clients` are known."""
    clients: Clients | None


class Seen(NamedTuple):
    """A connection at one look."""

    fd: int
    cookie: bytes
    """The system's own name for it: a descriptor may be another one's a moment later."""
    acknowledged: int
    waiting: int
    """Bytes that were written and are not acknowledged."""
    own: Peer
    peer: Peer


class Mark(NamedTuple):
    """A look that later ones are compared with."""

    since: float
    acknowledged: int
    goal: int
    """What is acknowledged when all that waited then is gone."""


class Patrol:
    """Walks past every connection of a worker's listeners, again and again."""

    def __init__(self, listeners: Callable[[], Iterable[Watched]], bounds: Bounds) -> None:
        self._ask = listeners
        self._listeners: dict[Peer, Watched] = {}
        self.bounds = bounds
        """The limits of the moment, which a reload replaces."""
        self._behind: dict[bytes, Mark] = {}
        self._silent: dict[bytes, Mark] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Walk from now on."""
        self._task = asyncio.get_running_loop().create_task(self._walk())

    def stop(self) -> None:
        """Walk no more."""
        if self._task is not None:
            self._task.cancel()

    async def _walk(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                await self.walk_once(time.monotonic())
            except Exception:
                log.exception("cannot look after slow clients")

    def _pause(self) -> float:
        timeouts = [listener.idle_timeout for listener in self._ask() if listener.clients is not None]
        shortest = min(filter(None, [self.bounds.send_timeout, *timeouts]), default=LONGEST_PAUSE)
        return max(SHORTEST_PAUSE, min(LONGEST_PAUSE, shortest / ROUNDS))

    async def walk_once(self, now: float) -> None:
        """Look at each connection, and cut those that are due."""
        self._listeners = {listener.address: listener for listener in self._ask()}
        behind, silent = self._behind, self._silent
        self._behind, self._silent = {}, {}
        open_now: dict[Watched, set[Peer]] = {listener: set() for listener in self._listeners.values()}
        cut: dict[tuple[Watched, str], list[str]] = {}
        for number, fd in enumerate(os.listdir("/proc/self/fd")):
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
            seen = look(int(fd))
            listener = None if seen is None else self._listener_of(seen)
            if seen is None or listener is None:
                continue
            open_now[listener].add(seen.peer)
            why = self._judge_taking(seen, behind.get(seen.cookie), now) or (
                self._judge_silence(seen, silent.get(seen.cookie), now, listener)
            )
            if why and end(seen):
                cut.setdefault((listener, why), []).append(seen.peer[0])
        for listener, peers in open_now.items():
            if listener.clients is not None:
                listener.clients.keep(peers)
        for (listener, why), addresses in cut.items():
            log.info("listener %s: cut %s", listener.label, _summary(addresses, why))

    def _listener_of(self, seen: Seen) -> Watched | None:
        host, port = seen.own
        wildcard = "::" if ":" in host else "0.0.0.0"
        return self._listeners.get((host, port)) or self._listeners.get((wildcard, port))

    def _judge_taking(self, seen: Seen, mark: Mark | None, now: float) -> str:
        """Why the client takes too little, if it does.

        What waited at the mark, and waits still, waited all the time: however long an endpoint was silent
        meanwhile, the client had something to take.
        """
        seconds, rate = self.bounds.send_timeout, self.bounds.send_rate
        if not seen.waiting or not seconds:
            return ""
        if mark is None or seen.acknowledged >= mark.goal:
            mark = Mark(now, seen.acknowledged, seen.acknowledged + seen.waiting)
        elif now - mark.since >= seconds:
            if seen.acknowledged - mark.acknowledged < max(1.0, rate * (now - mark.since)):
                return f"took less than {rate or 1} bytes/s for {seconds:g} s"
            mark = Mark(now, seen.acknowledged, seen.acknowledged + seen.waiting)
        self._behind[seen.cookie] = mark
        return ""

    def _judge_silence(self, seen: Seen, mark: Mark | None, now: float, listener: Watched) -> str:
        """Why the connection is of no use, if it is not: no exchange under way, and nothing that still passes."""
        if listener.clients is None:
            return ""
        client = listener.clients.find(seen.peer)
        if client is not None:
            if seen.waiting:
                client.waited_at = now
            if client.is_condemned:
                return "took nothing of what was asked for"
            if client.live:
                return ""
            if mark is not None and client.idle_since > mark.since:
                mark = None
        if not listener.idle_timeout:
            return ""
        if mark is None:
            mark = Mark(now, seen.acknowledged, 0)
        elif (passed := now - mark.since) >= listener.idle_timeout:
            # The rest of a response that was handed over as a whole may still be on its way.
            if seen.acknowledged - mark.acknowledged < max(self.bounds.send_rate, PING_RATE) * passed:
                return f"asked for nothing for {listener.idle_timeout:g} s"
            mark = Mark(now, seen.acknowledged, 0)
        self._silent[seen.cookie] = mark
        return ""


def look(fd: int) -> Seen | None:
    """What the system says of a descriptor; None if it is no TCP connection (any more)."""
    try:
        with _borrowed(fd) as connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
            state, under_way, acknowledged, unsent = _INFO.unpack(info)
            if state == _LISTENING:
                return None
            waiting = 0
            if under_way or unsent:
                waiting = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))[0]
            own, peer = address_of(connection.getsockname()), address_of(connection.getpeername())
            cookie = connection.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
    except (OSError, struct.error):
        return None
    return Seen(fd, cookie, acknowledged, waiting, own, peer)


def address_of(name: Any) -> Peer:
    """The address and port that a socket says of itself or its peer, without the interface of a link-local one."""
    return name[0].partition("%")[0], name[1]


def end(seen: Seen) -> bool:
    """Cut a connection, with a reset, so that nothing of it is kept; False if it is gone already."""
    try:
        with socket.socket(fileno=os.dup(seen.fd)) as connection:
            if connection.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8) != seen.cookie:
                return False
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)  # Granian notices, and closes its own
    except OSError:
        return False
    return True


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """A socket object over a descriptor that somebody else will close."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        yield connection
    finally:
        connection.detach()


def _summary(addresses: list[str], why: str) -> str:
    if len(addresses) == 1:
        return f"a connection of {addresses[0]}: the client {why}"
    distinct = list(dict.fromkeys(addresses))
    shown = ", ".join(distinct[:3]) + (f" and {len(distinct) - 3} more" if len(distinct) > 3 else "")
    return f"{len(addresses)} connections of {shown}: the clients {why}"
