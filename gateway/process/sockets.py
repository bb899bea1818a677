"""Bind the listeners' sockets once, in the supervisor, with errors that a person can act on.

Owns sockets and descriptor limits. Does not accept.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
from collections import Counter
from collections.abc import Iterable

from gateway.config.model import Address, Listener
from gateway.errors import ConfigurationError

RESERVED_DESCRIPTORS = 64
"""For logs, the bus, libraries, and connections that are just being opened."""

UNSENT_BYTES = 128 * 1024
"""What the system holds for a client beyond what is on its way; connections inherit it from their listener.
Otherwise a client that stalls has 4 MiB of a large response waiting for it, and nobody notices that it stalls."""


def bind(listener: Listener) -> socket.socket:
    """A listening socket for a listener. Raises ConfigurationError that names the address and the mend."""
    address = listener.bind
    family = socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if address.path:
            remove_stale(address.path)
            bound.bind(address.path)
        else:
            _bind_address(bound, address)
        bound.listen(listener.backlog)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"listener {listener.label}: {_explain(error)}") from None
    bound.setblocking(False)
    return bound


def _bind_address(bound: socket.socket, address: Address) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    if bound.family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind((address.host, address.port))


def named(listeners: Iterable[Listener]) -> list[tuple[str, Listener]]:
    """Each listener with a key that stays the same over reloads: its address, numbered where it repeats.

    Only addresses with port 0 can repeat and be bound.
    """
    seen: Counter[str] = Counter()
    keyed = []
    for listener in listeners:
        address = str(listener.bind)
        keyed.append((f"{address}#{seen[address]}" if seen[address] else address, listener))
        seen[address] += 1
    return keyed


def remove_stale(path: str) -> None:
    """Take away a socket file that nobody listens on any more; raise OSError if somebody does."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _explain(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use; stop what listens there, or choose another port"
    if error.errno == errno.EACCES:
        return "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE, a socket file a writable folder"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return f"cannot be bound: {error.strerror}"


def bound_url(listener: Listener, bound: socket.socket) -> str:
    """Where a listener really listens: with the port that the system chose, if it was left to it."""
    if listener.bind.path:
        return listener.url
    host, port = bound.getsockname()[:2]
    scheme = "https" if listener.tls else "http"
    return f"{scheme}://{Address(host, port)}"


def raise_descriptor_limit() -> int:
    """Take as many file descriptors as the system grants; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def connections_within(limit: int, listeners: int) -> int:
    """How many client connections a listener may hold so that descriptors never run out.

    Each client connection may need one to an endpoint. Beyond this number clients wait in the backlog, which
    they survive; running out of descriptors would end the listener.
    """
    return max(8, (limit - RESERVED_DESCRIPTORS) // 2 // max(1, listeners))
