"""HTTP listeners: one embedded Granian server each, and the adapter from its ASGI protocol to exchanges.

Owns every use of Granian (its embedding is marked experimental: the version is pinned). Does not decide
anything about a request.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from gateway.config.model import Limits, Listener
from gateway.light import drive
from gateway.listeners.connections import Watched, address_of
from gateway.listeners.exchange import Host, serve_http
from gateway.listeners.tls import Pair
from gateway.listeners.websocket import serve_websocket
from gateway.pem import InMemory

log = logging.getLogger("gateway.listeners")

_core: Any = import_module("granian._granian")
"""Granian's extension; the stubs that come with it describe an older one."""

BUFFER_BYTES = 128 * 1024
"""What Granian holds of a request, and of a response beyond the piece that it is sending."""

H2_KEEP_ALIVE_MS = 20_000
H2_STREAMS = 100
"""At once over one connection. Each may hold what its client does not take: RFC 9113 6.5.2 wants no fewer."""


class HttpListener:
    """A Granian server on a socket that was bound before."""

    def __init__(
        self, settings: Listener, limits: Limits, host: Host, bound: socket.socket, pair: Pair | None = None
    ) -> None:
        """`pair` is what to serve TLS with, if it is to be served."""
        self.settings = settings
        self.hosts = (host,)
        self.watched: tuple[Watched, ...] = ()
        """What a patrol is told of it; nothing where the system has no addresses."""
        if bound.family != socket.AF_UNIX:
            address = address_of(bound.getsockname())
            self.watched = (Watched(settings.label, address, settings.header_timeout, host.clients),)
        self._server: Any = _EmbeddedServer(settings, limits, host, bound, pair)  # Granian is untyped in part
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Accept connections from now on."""
        self._task = asyncio.get_running_loop().create_task(self._server.serve(self._server.run_worker))

    def stop_accepting(self) -> None:
        """Leave new connections to the others that share the socket; those accepted go on."""
        self._server.detach()

    async def stop(self) -> None:
        """Close idle connections, let exchanges in flight end, and return when the last has."""
        self._server.stop()
        if self._task is not None:
            await self._task

    def __repr__(self) -> str:
        return f"<HttpListener {self.settings.url}>"


class _EmbeddedServer(Server):
    """Granian on our socket, calling us without the layers of a general ASGI application."""

    def __init__(
        self, settings: Listener, limits: Limits, host: Host, bound: socket.socket, pair: Pair | None
    ) -> None:
        super().__init__(
            target=host,
            uds=None,
            interface=Interfaces.ASGINL,
            http=HTTPModes(settings.http_mode),
            websockets=settings.websockets and settings.http_mode != "2",
            backlog=settings.backlog,
            backpressure=settings.max_connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(settings.header_timeout * 1000),
                max_buffer_size=max(BUFFER_BYTES, limits.max_header),
            ),
            http2_settings=HTTP2Settings(
                max_headers_size=limits.max_header or 16 * 1024 * 1024,
                max_concurrent_streams=H2_STREAMS,
                keep_alive_interval=H2_KEEP_ALIVE_MS,
            ),
            log_enabled=False,
        )
        self._files = [InMemory(text.encode("latin-1")) for text in pair or ()]
        if pair and settings.tls:
            oldest = SSLProtocols.tls13 if settings.tls.oldest == "1.3" else SSLProtocols.tls12
            # By its own way Granian would take the paths of files, and resolve them.
            self.ssl_ctx = (True, *(str(file.path) for file in self._files), None, str(oldest), None, [], False)  # type: ignore[assignment]
        self._label = settings.label
        self._bound = bound
        self._fd = -1

    def _init_shared_socket(self) -> None:
        # A duplicate, because Granian closes what it is given; the supervisor keeps the original.
        self._fd = os.dup(self._bound.fileno())
        is_unix = self._bound.family == socket.AF_UNIX
        self._shd = _core.SocketHolder(self._fd, is_unix, self.backlog)
        self._ssp = None

    def detach(self) -> None:
        """Put a deaf socket under Granian's descriptor: what waits in the shared queue is left to others.

        Closing or stopping instead would reset connections that are accepted but whose request was not read yet.
        """
        if self._fd < 0:
            return
        with socket.socket(self._bound.family, socket.SOCK_STREAM) as deaf:
            if self._bound.family != socket.AF_UNIX:
                deaf.bind(("::1" if self._bound.family == socket.AF_INET6 else "127.0.0.1", 0))
                deaf.listen(1)
            deaf.setblocking(False)
            os.dup2(deaf.fileno(), self._fd, inheritable=False)
        self._fd = -1
        self._bound.close()

    async def run_worker(self, number: int, signal: Any, host: Any, sock: Any, *_: Any) -> None:
        """Start Granian's worker on this loop and return when it has stopped."""
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[None] = loop.create_future()

        def stop() -> None:
            if not stopped.done():  # cancelled, if a drain came to its deadline meanwhile
                stopped.set_result(None)

        signal.add_cb(lambda: loop.call_soon_threadsafe(stop))
        worker = _core.ASGIWorker(
            number,
            sock,
            None,
            self.runtime_threads,
            self.runtime_blocking_threads,
            self.blocking_threads,
            self.blocking_threads_idle_timeout,
            self.backpressure,
            self.http,
            self.http1_settings,
            self.http2_settings,
            self.websockets,
            self.static_path,
            *self.ssl_ctx,
            (None, None),
        )
        enter, leave = partial(_enter_task, loop), partial(_leave_task, loop)
        serve = worker.serve_async_uds if sock[1].is_uds() else worker.serve_async
        serve(_Scheduler(loop, host, None, enter, leave), loop, signal)
        await stopped
        for file in self._files:
            file.close()


class _Scheduler(_core.CallbackScheduler):  # type: ignore[misc]  # a class of the Rust extension
    """Receives each request on Granian's thread and begins its exchange on the loop."""

    _schedule_fn: Callable[[Any], None]

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host, task: None, enter: Any, leave: Any) -> None:
        super().__init__()
        call, context = loop.call_soon_threadsafe, self._ctx

        kept: set[asyncio.Task[None]] = set()

        def promote(exchange: Any) -> None:
            task = loop.create_task(exchange)
            kept.add(task)  # the loop itself holds tasks only weakly
            task.add_done_callback(kept.discard)

        def schedule(watcher: Any) -> None:
            call(begin, watcher, context=context)

        def begin(watcher: Any) -> None:
            # hot: plain
            if watcher.scope["type"] == "http":
                drive(serve_http(host, watcher), promote)
            else:
                watcher.taskref(loop.create_task(serve_websocket(host, watcher)))

        self._schedule_fn = schedule
