"""Where a check goes: an address, TLS or not, and the connection.

Owns connecting. Does not know what is said over the connection.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from gateway import Endpoint

CLOSE_SECONDS = 1.0
"""How long an endpoint may take to say goodbye over TLS."""


@dataclass(frozen=True)
class Target:
    """One endpoint as its checks see it."""

    host: str
    port: int
    path: str
    """Of a Unix socket; empty for TCP."""
    authority: str
    """Host and port as a request names them."""
    tls: ssl.SSLContext | None
    server_name: str

    @classmethod
    def of(cls, endpoint: Endpoint, port: int, tls: ssl.SSLContext | None, server_name: str) -> Target:
        """An endpoint's target. A `port` other than 0 is asked in the place of the endpoint's own."""
        url = endpoint.url
        if port and not url.address.path:
            url = url._replace(address=url.address._replace(port=port))
        host, port, path = url.address
        return cls(host, port, path, url.authority, tls, server_name or host or "localhost")

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A fresh connection. Raises OSError, ssl.SSLError among them."""
        server_name = self.server_name if self.tls else None
        closing = CLOSE_SECONDS if self.tls else None
        if self.path:
            return await asyncio.open_unix_connection(
                self.path, ssl=self.tls, server_hostname=server_name, ssl_shutdown_timeout=closing
            )
        return await asyncio.open_connection(
            self.host, self.port, ssl=self.tls, server_hostname=server_name, ssl_shutdown_timeout=closing
        )
