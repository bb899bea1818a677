"""Take TLS off the connections of one listener: a context for each certificate, made anew when files change.

Owns the contexts of the moment and the watch over their files. How one is made is `contexts`' business.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import App, ClientHello, ConfigurationError, HandshakeRefused, hookimpl, look_at, watch_files
from gateway_tls.certificates import ByName, Facts, days_left, facts_of
from gateway_tls.contexts import UnfitFile, server_context
from gateway_tls.files import Files
from gateway_tls.settings import ListenerKeys, Pair
from gateway_tls.tickets import TicketKeys, set_ticket_key

if TYPE_CHECKING:
    from gateway_tls.acme.automatic import Automatic
    from gateway_tls.acme.settings import Acme
    from gateway_tls.acme.storage import Storage

log = logging.getLogger("gateway.tls")

DAY_SECONDS = 86400.0
SOON_DAYS = 14
"""So long before its end a certificate is warned of, each day."""


@dataclass(frozen=True)
class Contexts:
    """What is served at one time."""

    every: tuple[ssl.SSLContext, ...]
    """The default first."""
    by_name: ByName[ssl.SSLContext]
    facts: tuple[Facts, ...]


class Termination:
    """The strategy `tls` of the kind `terminator`: certificates by name, client certificates."""

    Config = ListenerKeys

    def __init__(
        self, config: ListenerKeys, protocols: tuple[str, ...], inherited: Callable[[str], Sequence[Any]]
    ) -> None:
        self._keys = config
        self._protocols = protocols
        self._spoken = frozenset(protocols)
        self._acme: Automatic | None = None
        try:
            if config.acme is not None:
                self._acme = _automatic(config, config.acme, protocols)
            self._seen = look_at(self._files)
            self._files_held = Files(inherited)
            self._contexts = self._load(self._files_held)
        except UnfitFile as error:
            raise ConfigurationError(str(error)) from None
        self._ticket_keys: TicketKeys | None = None
        self._ticket_key = b""
        self._has_told = False

    def context(self, hello: ClientHello) -> ssl.SSLContext:
        """The context of the certificate that is for the host which the client wants. Raises HandshakeRefused."""
        if self._acme is not None:
            answer = self._acme.answer(hello)
            if answer is not None:
                return answer
        # Python's `ssl` goes on without a protocol where none is common (against RFC 7301, 3.2).
        if hello.alpn and self._spoken.isdisjoint(hello.alpn):
            raise HandshakeRefused("it speaks none of our protocols (ALPN)", "no_application_protocol")
        contexts = self._contexts
        found = contexts.by_name.find(hello.server_name)
        if found is not None:
            return found
        if self._keys.unknown_name == "refuse":
            raise HandshakeRefused("no certificate is for the host that it wants", "unrecognized_name")
        return contexts.every[0]

    @property
    def storage(self) -> Storage | None:
        """Where what belongs to ACME is kept; None without ACME."""
        return self._acme.storage if self._acme is not None else None

    def _load(self, files: Files) -> Contexts:
        """Make all contexts. Raises UnfitFile."""
        keys = self._keys
        named: dict[str, ssl.SSLContext] = {}
        made: list[ssl.SSLContext] = []
        facts: list[Facts] = []
        own = len(keys.pairs) - len(keys.certificates)
        places = [("" if number < own else f".certificates[{number - own}]") for number in range(len(keys.pairs))]
        pairs = list(zip(places, keys.pairs, strict=True))
        issued = self._acme.pair() if self._acme is not None else None
        if issued is not None:
            pairs.append((".acme", issued))
        for where, pair in pairs:
            context = self._context(pair, where, files)
            made.append(context)
            facts.append(facts_of(files.held[pair.cert]))
            for name in facts[-1].names:
                named.setdefault(name, context)
        if self._acme is not None and issued is None:
            made.append(self._acme.stand_in())
            for name in self._acme.domains:
                named.setdefault(name, made[-1])
        return Contexts(tuple(made), ByName(named), tuple(facts))

    def _context(self, pair: Pair, where: str, files: Files) -> ssl.SSLContext:
        try:
            return server_context(self._keys, pair, where, self._protocols, files.now)
        except UnfitFile as error:
            if not files.has_others:
                raise
            context = server_context(self._keys, pair, where, self._protocols, files.before)
            log.error("tls%s; what the worker before this one had is served", error)
            return context

    # -- files that change -------------------------------------------------------------------------------------

    @property
    def _files(self) -> list[Path]:
        client = self._keys.client
        others = [client.ca, client.crl] if client is not None else []
        pairs = [path for pair in self._keys.pairs for path in (pair.cert, pair.key)]
        issued = [self._acme.file] if self._acme is not None else []
        return [*pairs, *issued, *(path for path in others if path is not None)]

    @hookimpl
    async def startup(self, app: App) -> None:
        """Begin to watch the files; share the key of tickets."""
        if self._acme is not None:
            self._acme.start(app, self._is_first(app, self._acme))  # first: it may refuse
        self._ticket_keys = TicketKeys(app, self._take_ticket_key)
        if app.once("tls"):
            self._files_held.keep(app)
        app.spawn(watch_files(lambda: self._files, partial(self._renew, app), known=self._seen))
        app.spawn(self._warn_daily(app))
        for way, listener in zip(app.ways, app.settings.listeners, strict=True):
            if way.terminator is self:
                app.metrics.expiry(listener.label, self._first_end)

    def check(self, app: App) -> None:
        """Refuse what can only be known from the whole configuration. Raises ConfigurationError."""
        if self._acme is not None:
            self._acme.check(app)

    def _is_first(self, app: App, mine: Automatic) -> bool:
        """Whether no listener before this one has the same certificate: one orders it for all of them."""
        terminators = [way.terminator for way in app.ways if isinstance(way.terminator, Termination)]
        same = [each for each in terminators if each._acme is not None and each._acme.file == mine.file]
        return same[0] is self

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """End that."""
        if self._acme is not None:
            self._acme.stop()
        if self._ticket_keys is not None:
            self._ticket_keys.close()

    def _take_ticket_key(self, key: bytes) -> None:
        self._ticket_key = key
        if self._keys.client is None:  # else sessions are not taken up again
            shared = [set_ticket_key(context, key) for context in self._contexts.every]
            if not all(shared) and not self._has_told:
                self._has_told = True
                log.info("tls: this Python cannot share the keys of session tickets: each worker knows its own")

    async def _warn_daily(self, app: App) -> None:
        while True:
            if app.once("tls"):
                self._warn()
            await asyncio.sleep(DAY_SECONDS)

    async def _renew(self, app: App) -> None:
        """Serve what the files hold now; what was served stays if they cannot be used, as in mid-change."""
        try:
            files = Files()
            self._contexts = await asyncio.to_thread(self._load, files)
            if self._ticket_key:
                self._take_ticket_key(self._ticket_key)
        except (UnfitFile, ValueError) as error:
            log.warning("tls%s; what was there before stays in use", error)
            return
        if app.once("tls"):
            files.keep(app)
            log.info("tls: certificates are taken up anew: %s", ", ".join(self._names()))
            self._warn()

    def _first_end(self) -> float:
        return min((facts.ends.timestamp() for facts in self._contexts.facts), default=0.0)

    def _names(self) -> list[str]:
        return [" ".join(facts.names) or "without a name" for facts in self._contexts.facts]

    def _warn(self) -> None:
        # That of ACME is not warned of: what keeps it from being renewed is in the log already.
        for pair, facts in zip(self._keys.pairs, self._contexts.facts, strict=False):
            left = days_left(facts.ends)
            if left < 0:
                log.warning("tls: %s has expired: clients refuse it; put a new one there", pair.cert)
            elif left < SOON_DAYS:
                log.warning("tls: %s expires in %.1f days; put a new one there", pair.cert, left)


def _automatic(keys: ListenerKeys, settings: Acme, protocols: tuple[str, ...]) -> Automatic:
    from gateway_tls.acme.automatic import Automatic  # only where it is used: brings cryptography

    return Automatic(keys, settings, protocols)
