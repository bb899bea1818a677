"""Which way each listener takes: Granian itself, which is the quick one, or an edge of ours in front of it.

Owns the reasons for an edge, and the terminators that take TLS off there. Accepts nothing (`listeners`).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from gateway.config.loader import Source, validate
from gateway.config.model import Listener, ListenerTLS
from gateway.config.types import nearest
from gateway.connection import ClientHello
from gateway.errors import FAILURES, ConfigurationError
from gateway.failures import said
from gateway.registry import Registry

TERMINATOR = "terminator"
"""The kind of strategy; there is one, which the plugin `tls` brings."""
Inherited: TypeAlias = Callable[[str], Sequence[Any]]
_HTTP1 = ("http/1.1", "http/1.0")
_PROTOCOLS = {"1": _HTTP1, "2": ("h2",), "auto": ("h2", *_HTTP1)}


class Terminator(Protocol):
    """Takes TLS off the connections of one listener, in one worker.

    Made as `factory(config, protocols, inherited)`: the keys of the listener's `tls`, checked by the factory's
    `Config`; the names for ALPN, the best first; and what gives the messages that were kept on a topic of the bus,
    none but in a worker that takes the place of one that died. It may implement the hooks `startup` and `shutdown`.
    """

    def context(self, hello: ClientHello) -> ssl.SSLContext:
        """What to answer a client with, best a ServerContext. Synchronous and quick.

        Raises HandshakeRefused for an alert, ValueError to close the connection without a word.
        """
        ...


@dataclass(frozen=True)
class Way:
    """The way of one listener."""

    reasons: tuple[str, ...] = ()
    """Why there is an edge; empty if there is none."""
    terminator: Terminator | None = None
    """What takes TLS off at the edge; None without an edge, or without TLS."""

    @property
    def has_edge(self) -> bool:
        """Whether we accept ourselves."""
        return bool(self.reasons)

    def describe(self, listener: Listener) -> str:
        """For `gateway check`."""
        if self.reasons:
            return f"by an edge, since {' and '.join(self.reasons)}"
        return "directly, TLS by rustls" if listener.tls else "directly"


def ways_of(
    listeners: Sequence[Listener], guards: Sequence[str], registry: Registry, source: Source, inherited: Inherited
) -> list[Way]:
    """The way of each listener; `guards` are the plugins that look at connections. Raises ConfigurationError."""
    ways = []
    for index, listener in enumerate(listeners):
        reasons = _reasons(listener, guards)
        terminator = None
        if reasons and listener.tls is not None:
            terminator = _terminator(index, listener, listener.tls, registry, source, inherited)
        ways.append(Way(reasons, terminator))
    return ways


def _reasons(listener: Listener, guards: Sequence[str]) -> tuple[str, ...]:
    reasons = ["it takes the PROXY protocol"] if listener.proxy_protocol else []
    if listener.tls is not None and listener.tls.extras:
        keys = " and ".join(f"tls.{key}" for key in listener.tls.extras)
        reasons.append(f"{keys} is set" if len(listener.tls.extras) == 1 else f"{keys} are set")
    reasons += [f"the plugin {name!r} looks at connections" for name in guards]
    return tuple(reasons)


def _terminator(
    index: int, listener: Listener, tls: ListenerTLS, registry: Registry, source: Source, inherited: Inherited
) -> Terminator:
    place = ("listeners", index, "tls")
    factory: Any = registry.find(TERMINATOR, "tls")
    if factory is None:
        raise ConfigurationError(_without_plugin(index, tls, source))
    data = {name: value for name, value in tls if value is not None and name in ListenerTLS.model_fields}
    settings = validate(factory.Config, {**data, **tls.extras}, source.name, source.base, place)
    try:
        terminator: Terminator = factory(settings, _PROTOCOLS[listener.http_mode], inherited)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source.name}: listeners[{index}].tls{error}") from None
    except FAILURES as error:
        reason = said(error, factory.__module__)
        raise ConfigurationError(f"{source.name}: listeners[{index}].tls: {reason}") from error
    return terminator


def _without_plugin(index: int, tls: ListenerTLS, source: Source) -> str:
    place = f"{source.name}: listeners[{index}].tls"
    for key in tls.extras:
        return f"{place}: unknown key {key!r}{nearest(key, ListenerTLS.model_fields)}; or add 'tls' to the plugins"
    return f"{place}: behind the PROXY protocol, or where plugins look at connections, TLS needs the plugin 'tls'"
