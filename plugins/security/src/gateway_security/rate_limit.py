"""The plugin `rate-limit`: so many requests in so long, for all workers together, or for several gateways.

Owns what becomes of a request: it passes, waits, or is refused. Counting is done in `rate_table` and `rate_store`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

from gateway import App, Exchange, Response, StateKey, hookimpl
from gateway_security.client_keys import Clients, PlaceOf, key_of, place_of
from gateway_security.gcra import SECOND
from gateway_security.rate_fields import RateFields, whole_seconds
from gateway_security.rate_settings import RateSettings
from gateway_security.rate_store import RemoteRates, StoreAway, remote_opener
from gateway_security.rate_table import RateTable
from gateway_security.refusal_log import RefusalLog
from gateway_security.refused_error import Refused
from gateway_security.shared_locks import LockTimeout

_now = time.monotonic_ns


class RateLimit:
    """Refuse requests that come too fast, or hold them back; limits are exact whatever the number of workers."""

    api = 1

    class Config(RateSettings):
        """One limit, and further ones. A request has to keep them all; one that is refused is charged to none."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._settings = config.every
        self._limits = [each.limit for each in self._settings]
        self._clients = Clients(config.ipv4_prefix, config.ipv6_prefix, config.exempt_networks)
        self._methods = frozenset(config.exempt_methods)
        self._is_exempting = bool(config.exempt_methods or config.exempt_networks)
        self._keys = [key_of(each.key, self._clients) for each in self._settings]
        self._fields = RateFields([(each.label, each.limit) for each in self._settings])
        self._tells_all = config.fields == "all"
        self._said: StateKey[Sequence[int]] = StateKey("rate-limit")
        self._log = RefusalLog("rate-limit")
        self._open_remote = remote_opener(config.store, self._settings)
        self._remote: RemoteRates | None = None
        self._table: RateTable
        self._places: list[PlaceOf] = []
        self.refused = self.delayed = self.unlimited = 0
        # Takes the hooks away: even one that does nothing costs each exchange.
        if not self._limits:
            self.startup = self.shutdown = None  # type: ignore[assignment,method-assign]
            self.on_request = self.on_response = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def startup(self, app: App) -> None:
        """Find the table that the workers share, or make it."""
        self._table = table = RateTable(self._config.meaning, self._config.clients)
        self._places = [
            place_of(each.key, self._clients, table.place, b"%d " % number)
            for number, each in enumerate(self._settings)
        ]
        for name, meaning, read in (
            ("refused", "Requests that came too fast and were refused", lambda: self.refused),
            ("delayed", "Requests that came too fast and were held back", lambda: self.delayed),
            ("evicted", "Clients that were forgotten early, since the table was full", lambda: table.evicted),
            ("unlimited", "Requests that passed uncounted while the store was away", lambda: self.unlimited),
        ):
            app.metrics.counter(f"rate_limit_{name}", meaning, read)
        if self._open_remote is not None:
            self._remote = self._open_remote()
            self._remote.show_in(app.metrics)

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """Leave the table, which goes with the last worker."""
        self._log.close()
        self._table.close()
        if self._remote is not None:
            await self._remote.close()

    @hookimpl
    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Let pass, hold back or refuse."""
        # hot: l7-balancer
        if self._is_exempting and self._is_exempt(exchange):
            return None
        if self._remote is not None:
            return self._ask(exchange, self._remote)
        if len(self._limits) > 1:
            return self._settle(exchange, self._take_all(exchange))
        try:
            over = self._table.take(self._places[0](exchange), self._limits[0], _now())
        except LockTimeout as error:
            raise self._away(exchange, str(error)) from None
        if over > 0 or self._tells_all:
            return self._settle(exchange, (over,))
        return None

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Say when to come again, and how much is left."""
        error = exchange.error
        if type(error) is Refused and error.by is self:
            error.add_to(response)
        elif self._tells_all:
            said = exchange.get(self._said)
            if said is not None:
                response.headers.raw += self._told(said)

    def _is_exempt(self, exchange: Exchange) -> bool:
        request = exchange.request
        return request.method in self._methods or self._clients.is_exempt(request.client)

    def _take_all(self, exchange: Exchange) -> Sequence[int]:
        """What each limit says, by the table that the workers share."""
        try:
            places = [place(exchange) for place in self._places]
            return self._table.take_all(places, self._limits, _now())
        except LockTimeout as error:
            raise self._away(exchange, str(error)) from None

    async def _ask(self, exchange: Exchange, remote: RemoteRates) -> None:
        """The same by the store that gateways share."""
        try:
            said: Sequence[int] = await remote.take([key(exchange) for key in self._keys])
        except StoreAway:
            away = self._config.store.away
            if away == "open":
                self.unlimited += 1
                exchange.note("rate-limit", "let it pass uncounted: the store is away")
                return
            if away == "closed":
                raise self._away(exchange, "the store is away") from None
            said = self._take_all(exchange)
        waiting = self._settle(exchange, said)
        if waiting is not None:
            await waiting

    def _settle(self, exchange: Exchange, said: Sequence[int]) -> Awaitable[None] | None:
        """Do as was said by each limit. Raises Refused."""
        if self._tells_all:
            exchange[self._said] = said
        if any(over > limit.patience for over, limit in zip(said, self._limits, strict=True)):
            raise self._refusal(exchange, said)
        wait = max(said)
        if wait <= 0:
            return None
        self.delayed += 1
        exchange.note("rate-limit", f"held it back for {wait / SECOND:.3f} s")
        return asyncio.sleep(wait / SECOND)

    def _refusal(self, exchange: Exchange, said: Sequence[int]) -> Refused:
        broken = [
            (each.label, limit.next_in(over))
            for over, limit, each in zip(said, self._limits, self._settings, strict=True)
            if over > limit.patience
        ]
        why = f"over the limit {' and '.join(repr(label) for label, _ in broken)}"
        self.refused += 1
        self._log.tell(exchange, "refused", why)
        exchange.note("rate-limit", f"refused it: {why}")
        again = str(whole_seconds(max(wait for _, wait in broken))).encode()
        fields = self._told(said) if self._config.fields != "none" else ()
        return Refused(self, why, self._config.status, ((b"retry-after", again), *fields))

    def _told(self, said: Sequence[int]) -> tuple[tuple[bytes, bytes], ...]:
        return (b"ratelimit-policy", self._fields.policy), (b"ratelimit", self._fields.now(said))

    def _away(self, exchange: Exchange, why: str) -> Refused:
        """The refusal of a request that cannot be counted."""
        self._log.tell(exchange, "refused", why)
        exchange.note("rate-limit", f"refused it: {why}")
        return Refused(self, why, 503)


__all__ = ["RateLimit"]
