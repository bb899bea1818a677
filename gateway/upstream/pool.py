"""Reusable connections to one endpoint: bounded, last in first out, with a queue that has a deadline.

Owns how many there are and who gets the next one. Does not speak HTTP (`http1`).
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from gateway.config import model as config
from gateway.errors import ConnectFailed, ConnectTimeout, GatewayError, NoEndpoint, Overloaded
from gateway.light import as_task
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.http1 import Http1Connection
from gateway.upstream.ticker import Ticker

P = TypeVar("P", bound=asyncio.Protocol)


class ConnectionPool:
    """The connections of one endpoint in one worker."""

    __slots__ = (
        "_connecting", "_context", "_cut", "_limits", "_loop", "_max_idle", "_opening", "_waiters", "busy",
        "endpoint", "idle", "is_closed", "max_head_bytes", "response_seconds", "ticker", "timeouts",
    )  # fmt: skip

    def __init__(
        self, endpoint: Endpoint, settings: config.Upstream, context: ssl.SSLContext | None, ticker: Ticker
    ) -> None:
        self.endpoint = endpoint
        self.timeouts = settings.timeouts
        self.response_seconds = settings.timeouts.response
        self._max_idle = settings.pool.max_idle
        self.max_head_bytes = settings.max_response_header
        self.idle: list[Http1Connection] = []
        self.busy: set[Http1Connection] = set()
        self.is_closed = False
        self.ticker = ticker
        self._limits = settings.pool
        self._context = self._tls(settings, context)
        self._waiters: deque[asyncio.Future[Http1Connection | None]] = deque()
        self._connecting = 0
        self._opening: set[asyncio.Timeout] = set()
        self._cut: GatewayError | None = None
        """Why nothing is opened any more."""
        self._loop: asyncio.AbstractEventLoop | None = None
        ticker.add(self)

    def _tls(
        self, settings: config.Upstream, context: ssl.SSLContext | None
    ) -> tuple[ssl.SSLContext, str | None] | None:
        if context is None or self.endpoint.url.scheme != "https":
            return None
        return context, settings.tls.server_name or self.endpoint.host

    def take(self) -> Http1Connection | None:
        """The connection that was used last, if one is idle."""
        # hot: plain
        idle = self.idle
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                self.busy.add(connection)
                return connection
        return None

    async def connect(self) -> Http1Connection:
        """A fresh connection, or the next one that gets free when all are taken.

        Raises ConnectFailed, ConnectTimeout, or Overloaded when the queue is full or too slow.
        """
        await as_task()
        limit = self._limits.max_connections
        while len(self.busy) + len(self.idle) + self._connecting >= limit:
            if self.idle:
                self.idle.pop(0).close()
                continue
            connection = await self._wait()
            if connection is not None:
                return connection
        self._connecting += 1
        try:
            connection = await self.open(lambda: Http1Connection(self))
        except BaseException:
            self._connecting -= 1
            self._pass_on(None)
            raise
        self._connecting -= 1
        self.busy.add(connection)
        if not self.ticker.is_awake:
            self.ticker.wake()
        return connection

    async def _wait(self) -> Http1Connection | None:
        name, queue = self.endpoint.name, self._limits.queue
        if len(self._waiters) >= queue:
            raise Overloaded(f"endpoint {name}: all connections are taken and {queue} exchanges wait already")
        waiter: asyncio.Future[Http1Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._limits.queue_timeout or None):
                return await waiter
        except TimeoutError:
            if waiter.done() and not waiter.cancelled():
                return waiter.result()  # it came in the very moment
            seconds = self._limits.queue_timeout
            raise Overloaded(f"endpoint {name}: no connection got free within {seconds:g} s") from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _give_back(self, connection: Http1Connection | None) -> None:
        if connection is None:
            self._pass_on(None)
        else:
            self.release(connection)

    async def open(self, factory: Callable[[], P]) -> P:
        """A connection of any protocol, outside the pool and its limits.

        Raises ConnectFailed or ConnectTimeout.
        """
        loop = asyncio.get_running_loop()
        address, seconds = self.endpoint.url.address, self.timeouts.connect
        context, server_name = self._context or (None, None)
        limit = asyncio.timeout(seconds or None)
        try:
            async with limit:
                self._opening.add(limit)
                if address.path:
                    _, connection = await loop.create_unix_connection(
                        factory, address.path, ssl=context, server_hostname=server_name
                    )
                else:
                    _, connection = await loop.create_connection(
                        factory,
                        address.host,
                        address.port,
                        ssl=context,
                        server_hostname=server_name,
                    )
        except TimeoutError:
            if self._cut is not None:
                raise self._cut from None
            raise ConnectTimeout(f"endpoint {self.endpoint.name}: no connection within {seconds:g} s") from None
        except OSError as error:  # TLS errors are among them
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise NoEndpoint(
                    f"endpoint {self.endpoint.name}: no file descriptor is free (ulimit -n)"
                ) from error
            raise ConnectFailed(f"endpoint {self.endpoint.name}: {reason(error)}") from error
        finally:
            self._opening.discard(limit)
        return connection

    def release(self, connection: Http1Connection) -> None:
        """Take a connection back after an exchange: keep it, hand it on, or close it."""
        # hot: plain
        self.busy.discard(connection)
        if not connection.is_usable or self.is_closed:
            connection.close()
            if self._waiters:
                self._pass_on(None)
        elif self._waiters:
            self._pass_on(connection)
        elif len(self.idle) < self._max_idle:
            connection.idle_since = self.ticker.now
            self.idle.append(connection)
        else:
            connection.close()

    def _pass_on(self, connection: Http1Connection | None) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                if connection is not None:
                    self.busy.add(connection)
                waiter.set_result(connection)
                return
        if connection is not None:
            self.idle.append(connection)

    def forget(self, connection: Http1Connection) -> None:
        """The connection is gone."""
        if connection in self.idle:
            self.idle.remove(connection)

    @property
    def waiting(self) -> int:
        """How many exchanges wait for a connection."""
        return len(self._waiters)

    @property
    def has_ended(self) -> bool:
        """Whether it is closed and nothing is left of it."""
        return self.is_closed and not self.busy

    def tick(self, now: float) -> None:
        """Look at deadlines and at what has been idle for too long."""
        for connection in list(self.busy):
            connection.tick(now)
        if self.idle and (seconds := self._limits.idle_timeout):
            oldest = now - seconds
            while self.idle and self.idle[0].idle_since < oldest:
                self.idle.pop(0).close()

    def fail(self, error: GatewayError) -> None:
        """End with an error what waits for a connection, what opens one and what uses one."""
        self._cut = error
        for limit in self._opening:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
        for connection in list(self.busy):
            connection.fail(error)

    def close(self) -> None:
        """Close what is idle now and what is busy when it is done."""
        self.is_closed = True
        for connection in self.idle:
            connection.close()
        self.idle.clear()

    def __repr__(self) -> str:
        counts = f"{len(self.busy)} busy, {len(self.idle)} idle, {len(self._waiters)} waiting"
        return f"<ConnectionPool {self.endpoint.name}: {counts}>"


def reason(error: BaseException) -> str:
    """What an operator should read of a system error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
