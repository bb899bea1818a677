"""A Connection: one peer that a listener has accepted, for plugins that look at connections.

Owns what is known of it: addresses, and what TLS found out. Holds no socket and decides nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gateway.state import Stateful, StateKey


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a TLS client says before anything is agreed upon (RFC 8446, 4.1.2). Nothing of it is proven."""

    server_name: str = ""
    """The host that it wants, in lower case (RFC 6066, 3); empty if it names none."""
    alpn: tuple[str, ...] = ()
    """The protocols that it offers, the one it likes best first (RFC 7301)."""


@dataclass(frozen=True, slots=True)
class TLSSession:
    """What a finished handshake has agreed upon."""

    version: str
    """`TLSv1.2` or `TLSv1.3`."""
    cipher: str
    server_name: str = ""
    """The host that the client wanted; empty if it named none."""
    alpn: str = ""
    """`h2`, `http/1.1`, `http/1.0`, or empty."""
    certificate: bytes | None = None
    """The client's certificate (DER), if it was asked for one, gave one, and that was valid."""


class Connection(Stateful):
    """One accepted peer; lives as long as its connection, and bears what plugins want to know of it later."""

    __slots__ = (
        "client",
        "client_port",
        "hello",
        "is_anonymous",
        "is_encrypted",
        "listener",
        "peer",
        "speaks_http2",
        "started",
        "tls",
    )

    def __init__(self, peer: str, client: str, client_port: int, listener: str) -> None:
        self.peer = peer
        """The address that the connection comes from."""
        self.client = client
        """The client's address: the peer's, or what the PROXY protocol says of it. Empty on a Unix socket."""
        self.client_port = client_port
        self.is_anonymous = False
        """Whether the PROXY protocol says that nobody knows the client: `client` is the proxy's own address then,
        and what requests say of a client is not the proxy's word."""
        self.is_encrypted = False
        """Whether the client speaks TLS: with us (see `tls`), or with the proxy whose PROXY header says so."""
        self.listener = listener
        """The listener's name or address."""
        self.started = time.monotonic()
        self.hello: ClientHello | None = None
        """What a TLS client has said so far; None on a listener without TLS."""
        self.tls: TLSSession | None = None
        """What was agreed upon; None until then, and so in `on_connect`."""
        self._state: dict[StateKey[Any], Any] | None = None
        self.speaks_http2 = False
        """Whether HTTP/2 was agreed upon, or is spoken without TLS."""

    def __repr__(self) -> str:
        return f"<Connection of {self.client or 'a Unix socket'} to {self.listener}>"


@dataclass(frozen=True, slots=True)
class Deny:
    """What `on_connect` returns to end a connection without a word to the client."""

    reason: str
    """For the log."""
