"""Take TLS off the connections of one listener: a context for each certificate, made anew when files change.

Owns the contexts of the moment and the watch over their files. How one is made is `contexts`' business.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway import App, ClientHello, ConfigurationError, hookimpl, watch_files
from gateway_tls.certificates import ByName, Facts, days_left, read_facts
from gateway_tls.contexts import UnfitFile, server_context
from gateway_tls.settings import ListenerKeys
from gateway_tls.tickets import TicketKeys, set_ticket_key

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

    def __init__(self, config: ListenerKeys, protocols: tuple[str, ...]) -> None:
        self._keys = config
        self._protocols = protocols
        try:
            self._contexts = self._load()
        except UnfitFile as error:
            raise ConfigurationError(str(error)) from None
        self._jobs: list[asyncio.Task[None]] = []
        self._ticket_keys: TicketKeys | None = None
        self._ticket_key = b""

    def context(self, hello: ClientHello) -> ssl.SSLContext:
        """The context of the certificate that is for the host which the client wants."""
        contexts = self._contexts
        found = contexts.by_name.find(hello.server_name)
        if found is not None:
            return found
        if self._keys.unknown_name == "refuse":
            raise ValueError(f"no certificate is for {hello.server_name!r}")
        return contexts.every[0]

    def _load(self) -> Contexts:
        """Make all contexts. Raises UnfitFile."""
        keys = self._keys
        named: dict[str, ssl.SSLContext] = {}
        made: list[ssl.SSLContext] = []
        facts: list[Facts] = []
        own = len(keys.pairs) - len(keys.certificates)
        for number, pair in enumerate(keys.pairs):
            where = "" if number < own else f".certificates[{number - own}]"
            context = server_context(keys, pair, where, self._protocols)
            made.append(context)
            facts.append(read_facts(pair.cert))
            for name in facts[-1].names:
                named.setdefault(name, context)
        return Contexts(tuple(made), ByName(named), tuple(facts))

    # -- files that change -------------------------------------------------------------------------------------

    @property
    def _files(self) -> list[Path]:
        client = self._keys.client
        others = [client.ca, client.crl] if client is not None else []
        pairs = [path for pair in self._keys.pairs for path in (pair.cert, pair.key)]
        return [*pairs, *(path for path in others if path is not None)]

    @hookimpl
    async def startup(self, app: App) -> None:
        """Begin to watch the files; share the key of tickets."""
        self._ticket_keys = TicketKeys(app, self._take_ticket_key)
        jobs = (watch_files(lambda: self._files, partial(self._renew, app)), self._warn_daily(app))
        self._jobs = [asyncio.create_task(job) for job in jobs]

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """End that."""
        for job in self._jobs:
            job.cancel()
        if self._ticket_keys is not None:
            self._ticket_keys.close()

    def _take_ticket_key(self, key: bytes) -> None:
        self._ticket_key = key
        for context in self._contexts.every:
            set_ticket_key(context, key)

    async def _warn_daily(self, app: App) -> None:
        while True:
            if app.once("tls"):
                self._warn()
            await asyncio.sleep(DAY_SECONDS)

    async def _renew(self, app: App) -> None:
        """Serve what the files hold now; what was served stays if they cannot be used, as in mid-change."""
        try:
            self._contexts = await asyncio.to_thread(self._load)
            if self._ticket_key:
                self._take_ticket_key(self._ticket_key)
        except (UnfitFile, ValueError) as error:
            log.warning("tls%s; what was there before stays in use", error)
            return
        if app.once("tls"):
            log.info("tls: certificates are taken up anew: %s", ", ".join(self._names()))
            self._warn()

    def _names(self) -> list[str]:
        return [" ".join(facts.names) or "without a name" for facts in self._contexts.facts]

    def _warn(self) -> None:
        for pair, facts in zip(self._keys.pairs, self._contexts.facts, strict=True):
            left = days_left(facts.ends)
            if left < 0:
                log.warning("tls: %s has expired: clients refuse it; put a new one there", pair.cert)
            elif left < SOON_DAYS:
                log.warning("tls: %s expires in %.1f days; put a new one there", pair.cert, left)
