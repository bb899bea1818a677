"""The plugin `ip-filter`: who may come in, by address and by country.

Owns which of several lists wins, and what clients without an address get. Files are read by `network_list` and
`country_database`, and looked after by `watched_file`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from gateway import App, ClientError, Duration, Exchange, FilePath, Network, PluginConfig, hookimpl
from gateway_security.network_list import LINE_BITS, NetworkList, networks_in, packed_address, read_networks
from gateway_security.network_table import NOWHERE, NetworkTable
from gateway_security.refusal_log import RefusalLog
from gateway_security.watched_file import WatchedFile

if TYPE_CHECKING:
    from gateway_security.country_database import CountryDatabase

log = logging.getLogger("gateway.security")

PLUGIN = "ip-filter"
MOST_REMEMBERED = 16384
"""Clients whose address was looked up and let in; when there are more, all of them are forgotten."""

_DENIES = 1 << LINE_BITS + 15
"""The highest bit of an entry: of two networks that are the same, the denied one counts."""
_COUNTRY = re.compile(r"[A-Z]{2}").fullmatch


def _check_country(value: str) -> str:
    if value == "unknown":
        return value
    code = value.upper()
    if code == "UK":
        raise ValueError("the code of the United Kingdom is 'GB'")
    if not _COUNTRY(code):
        raise ValueError(f'expected two letters such as "DE", or "unknown", not {value!r}')
    return code


Country = Annotated[str, AfterValidator(_check_country)]


class Verdict(NamedTuple):
    """Whether a client may come in, and why."""

    is_allowed: bool
    why: str


class IpFilter:
    """Let clients in or refuse them (403), by networks and by country.

    The most specific network that the address is in decides, whatever list it stands in; one that is allowed and
    denied is denied. For an address in no network its country decides, and then `default`. A file that changes is
    read anew; while it is wrong, what was read before stays in force.
    """

    api = 1

    class Config(PluginConfig):
        """Who may come in."""

        allow: tuple[Network, ...] = ()
        """Networks, or addresses, that may come in."""
        deny: tuple[Network, ...] = ()
        """Networks, or addresses, that are refused."""
        allow_files: tuple[FilePath, ...] = ()
        """Files with networks that may come in, one a line; `#` or `;` begins a comment."""
        deny_files: tuple[FilePath, ...] = ()
        """Files with networks that are refused."""
        allow_countries: tuple[Country, ...] = ()
        """Countries that may come in, by their two letters; `"unknown"` is where the database knows none."""
        deny_countries: tuple[Country, ...] = ()
        """Countries that are refused."""
        country_database: FilePath | None = None
        """A file in MaxMind's format (`.mmdb`) that says the countries of addresses."""
        default: Literal["allow", "deny"] | None = None
        """What becomes of all others; not said, they are refused if anything is allowed by name, else let in."""
        check_interval: Annotated[Duration, Field(gt=0)] = 5.0
        """How often files are looked at for changes."""

        @model_validator(mode="after")
        def _check_together(self) -> Self:
            countries = set(self.allow_countries) & set(self.deny_countries)
            if countries:
                raise ValueError(f"{min(countries)!r} is in allow_countries and in deny_countries")
            if (self.allow_countries or self.deny_countries) and self.country_database is None:
                raise ValueError("countries need a country_database, the path of a .mmdb file")
            if self.country_database is not None and not (self.allow_countries or self.deny_countries):
                raise ValueError("a country_database needs allow_countries or deny_countries")
            return self

    def __init__(self, config: Config) -> None:
        """Read every file. Raises ValueError that names the file and the line."""
        self._log = RefusalLog(PLUGIN)
        self._refused = 0
        self._passed: set[str] = set()
        self._interval = config.check_interval
        self._names: list[str] = []
        """What the lists are called in the log; their numbers in entries begin with 1."""
        self._fixed = [self._list("allow", config.allow, 0), self._list("deny", config.deny, _DENIES)]
        self._files = [
            *(self._file("allow_files", path, 0) for path in config.allow_files),
            *(self._file("deny_files", path, _DENIES) for path in config.deny_files),
        ]
        self._table = NetworkTable([*self._fixed, *(file.content for file in self._files)])
        self._countries = {
            **dict.fromkeys(config.allow_countries, True),
            **dict.fromkeys(config.deny_countries, False),
        }
        self._database = _open_database(config.country_database) if config.country_database else None
        names_allowed = config.allow or config.allow_files or config.allow_countries
        default = config.default or ("deny" if names_allowed else "allow")
        self._default = Verdict(default == "allow", "in no list")
        if default == "allow" and not (config.deny or config.deny_files or config.deny_countries):
            self.on_request = None  # type: ignore[assignment,method-assign]  # there is nobody to refuse

    def _mark(self, name: str, side: int) -> int:
        self._names.append(name)
        return side | len(self._names) << LINE_BITS

    def _list(self, key: str, networks: tuple[Network, ...], side: int) -> NetworkList:
        return networks_in(networks, self._mark(key, side))

    def _file(self, key: str, path: Path, side: int) -> WatchedFile[NetworkList]:
        mark = self._mark(str(path), side)
        read: Callable[[Path], NetworkList] = lambda path: read_networks(path, mark)  # noqa: E731
        return WatchedFile(path, read, key)

    @hookimpl
    async def startup(self, app: App) -> None:
        """Show what is counted, and look after the files."""
        app.metrics.counter("ip_filter_refused", "Requests that ip-filter refused", lambda: self._refused)
        if self._files or self._database is not None:
            app.spawn(self._watch())

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """Tell what has not been told."""
        self._log.close()

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse whoever may not come in."""
        # hot: l7-balancer
        if exchange.request.client not in self._passed:
            self._judge(exchange)

    def _judge(self, exchange: Exchange) -> None:
        client = exchange.request.client
        verdict = self.verdict_on(client)
        if verdict.is_allowed:
            if len(self._passed) >= MOST_REMEMBERED:
                self._passed.clear()
            self._passed.add(client)
            return
        self._refused += 1
        exchange.note(PLUGIN, f"refused: {verdict.why}")
        self._log.tell(exchange, "refused", verdict.why)
        raise ClientError(f"{PLUGIN}: {client}: {verdict.why}", status=403)

    def verdict_on(self, client: str) -> Verdict:
        """Whether a client may come in. An empty address, that of a Unix socket, is in no list."""
        if not client:
            return self._default
        packed = packed_address(client)
        if packed is None:
            return Verdict(False, "no address")
        entry = self._table.find(packed)
        if entry != NOWHERE:
            return Verdict(not entry & _DENIES, self._place_of(entry))
        if self._database is not None:
            return self._verdict_by_country(packed, self._database.content)
        return self._default

    def _verdict_by_country(self, packed: bytes, database: CountryDatabase) -> Verdict:
        family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
        country = database.country_of(socket.inet_ntop(family, packed))
        if country in self._countries:
            return Verdict(self._countries[country], f"country {country}")
        return Verdict(self._default.is_allowed, f"{self._default.why}, country {country}")

    def _place_of(self, entry: int) -> str:
        number = (entry & ~_DENIES) >> LINE_BITS
        line = entry & (1 << LINE_BITS) - 1
        name = self._names[number - 1]
        return f"{name}[{line}]" if number <= len(self._fixed) else f"{name} line {line}"

    # -- files -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:  # the lists stay as they are, and the next look may go well
                log.exception("ip-filter: files could not be looked at")

    async def look(self) -> None:
        """Read what has changed, in a thread, and let it be in force all at once."""
        table = await asyncio.to_thread(self._read_again)
        if table is not None:
            self._table = table
            self._passed.clear()

    def _read_again(self) -> NetworkTable | None:
        """A new table, or the one that there is if only the countries have changed; None if nothing has."""
        changed = [file for file in self._files if file.look()]
        has_countries = self._database is not None and self._database.look()
        if changed:
            return NetworkTable([*self._fixed, *(file.content for file in self._files)])
        return self._table if has_countries else None

    def __repr__(self) -> str:
        return f"<IpFilter {self._table!r}, others {'let in' if self._default.is_allowed else 'refused'}>"


def _open_database(path: Path) -> WatchedFile[CountryDatabase]:
    try:
        from gateway_security.country_database import CountryDatabase
    except ModuleNotFoundError as error:
        raise ValueError(
            f"country_database needs the package {error.name!r}: pip install 'gateway-security[country]'"
        ) from error
    return WatchedFile(path, CountryDatabase, "country_database")
