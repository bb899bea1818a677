"""The plugin `discovery`: endpoints that are looked up while the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from gateway import App, ConfigurationError, Duration, EndpointSettings, PluginConfig, Registry, hookimpl
from gateway_discovery.file import FileLookup
from gateway_discovery.lookup import Lookup, Watch
from gateway_discovery.table import Table

if TYPE_CHECKING:
    from gateway_discovery.dns import NameResolver

__all__ = ["Discovery", "Table"]

log = logging.getLogger("gateway.discovery")


class Discovery:
    """Keep the endpoints of upstreams as a DNS name, SRV records or a file say.

    One worker looks them up for the whole gateway. While a lookup fails, the endpoints that were found last stay;
    before any was found, those of the site file serve.
    """

    api = 1

    class Config(PluginConfig):
        """How lookups are made; what is looked up stands in `[upstreams.NAME] discovery`."""

        resolvers: tuple[str, ...] = ()
        """DNS servers as `ADDRESS` or `ADDRESS:PORT`; none means those of the system, and `/etc/hosts` before."""
        timeout: Duration = 5.0
        """How long a lookup may take in all."""
        min_interval: Duration = 1.0
        """A lookup is not repeated sooner, however short the time to live of what it found."""
        max_interval: Duration = 300.0
        """It is repeated after this at the latest, however long the time to live."""
        retry: Annotated[Duration, Field(gt=0)] = 2.0
        """After a lookup that failed, the next one is made so much later."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._resolver = self._make_resolver() if config.resolvers else None  # what is no address is said at once
        self._watches: list[Watch] = []

    @hookimpl
    def register(self, registry: Registry) -> None:
        """Own the table `discovery` of every upstream."""
        registry.add_upstream_table("discovery", Table, {})

    @hookimpl
    async def startup(self, app: App) -> None:
        """Look everything up once, so that the first exchange finds its endpoints, and go on from there."""
        tables = {name: table for name, table in app.tables["discovery"].items() if table.is_wanted}
        for name, table in tables.items():
            if table.scheme == "https" and not app.upstreams[name].settings.tls.server_name:
                raise ConfigurationError(
                    f"upstreams.{name}: endpoints that are found by address need tls.server_name, the name in"
                    " their certificate"
                )
        if not app.once("discovery"):
            return
        self._watches = [self._watch(app, name, table) for name, table in tables.items()]
        waits = await asyncio.gather(*(watch.look() for watch in self._watches))
        for watch, wait in zip(self._watches, waits, strict=True):
            app.spawn(watch.run(wait))

    def _watch(self, app: App, upstream: str, table: Table) -> Watch:
        config = self._config

        def found(endpoints: Sequence[EndpointSettings]) -> None:
            names = ", ".join(endpoint.url for endpoint in endpoints) or "none"
            log.info("upstream %r: %d endpoints found: %s", upstream, len(endpoints), names)
            app.set_endpoints(upstream, endpoints)

        return Watch(
            self._lookup(table),
            found,
            name=f"upstream {upstream!r}: {table}",
            interval=(config.min_interval, config.max_interval),
            retry=config.retry,
        )

    def _lookup(self, table: Table) -> Lookup:
        if table.file is not None:
            return FileLookup(table.file, table.interval)
        from gateway_discovery.dns import AddressLookup, ServiceLookup

        resolver = self._resolver = self._resolver or self._make_resolver()
        if table.srv:
            return ServiceLookup(resolver, table.srv, table.scheme)
        return AddressLookup(resolver, table.dns, table.scheme)

    def _make_resolver(self) -> NameResolver:
        # Imported when somebody looks a name up: it takes longer than all the rest of the plugin.
        from gateway_discovery.dns import make_resolver

        return make_resolver(self._config.resolvers, self._config.timeout)
