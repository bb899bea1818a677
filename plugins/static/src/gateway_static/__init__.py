"""The plugin `static`: files of a directory as answers.

Owns what becomes of a request: a file, a folder, a redirect, an error, or on to the upstream. Where files are found
is in `finding`, what is remembered in `holding`, how one is sent in `answering`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import lru_cache, partial

from gateway import App, ClientError, ConfigurationError, Exchange, GatewayError, Response, hookimpl
from gateway_static.answering import FileChanged, respond
from gateway_static.content_types import ContentTypes
from gateway_static.error_pages import ErrorPages
from gateway_static.finding import NOTHING, Asset, Finder, Folder, Found
from gateway_static.holding import Held
from gateway_static.listing import as_json, as_page, read_folder, wants_json
from gateway_static.names import file_name
from gateway_static.settings import Settings

__all__ = ["ServeFiles", "Settings"]

_VARY_BY_ACCEPT = (b"vary", b"accept")
_REMEMBERED_PATHS = 2048


class ServeFiles:
    """Serve files of a directory.

    GET and HEAD; what is not there is 404, or goes on to the plugins behind and the upstream. Nothing outside of
    the directory is ever served, and nothing waits for the disk on the event loop."""

    api = 1

    Config = Settings

    def __init__(self, config: Settings) -> None:
        self._config = config
        prefix = tuple(config.strip_prefix.split("/")[1:])
        self._name = lru_cache(_REMEMBERED_PATHS)(partial(file_name, prefix=prefix, is_hidden_served=config.hidden))
        self._finder = Finder(config)
        self._held = Held(self._finder, config.check_interval, config.memory, config.max_names)
        self._pages = ErrorPages()
        self._passes = config.missing == "pass"
        # Takes the hooks away: even one that does nothing costs each exchange.
        if not config.error_pages:
            self.on_error = None  # type: ignore[assignment,method-assign]
        if not (config.error_pages and config.intercept):
            self.on_upstream_response = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def on_check(self, app: App) -> None:
        """See whether the directories and the error pages are there."""
        self._prepare()

    @hookimpl
    async def startup(self, app: App) -> None:
        """See whether the directories are there, and read the error pages."""
        await asyncio.get_running_loop().run_in_executor(None, self._prepare)
        app.metrics.gauge("static_memory_bytes", "Bytes of files that are held in memory", lambda: self._held.bytes)

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Answer with a file; at once if it is known and in memory."""
        # hot: static
        request = exchange.request
        if request.method not in ("GET", "HEAD") or request.scheme not in ("http", "https"):
            return self._other_method()
        name = self._name(request.raw_path)
        if name is None:
            return self._missing(exchange)
        found = self._held.get(name, exchange.started)
        if found is None:
            return self._find(exchange, name)
        if isinstance(found, Asset):
            answer = respond(self._finder, request, found)
            return answer if isinstance(answer, Response) else self._opened(exchange, name, answer)
        return self._other(exchange, found)

    @hookimpl
    def on_error(self, exchange: Exchange, error: GatewayError) -> Response | None:
        """The site's own page, if it has one for this."""
        return self._pages.response(exchange, error.status)

    @hookimpl
    def on_upstream_response(self, exchange: Exchange, response: Response) -> None:
        """The site's own page in place of what the upstream says of an error."""
        if response.status >= 400:
            self._pages.replace(exchange, response)

    def _prepare(self) -> None:
        for root in self._finder.roots:
            try:
                root.prepare()
            except OSError as error:
                hint = "name a directory that is there and that the gateway may enter"
                raise ConfigurationError(f"root: {root.path}: {error.strerror}; {hint}") from None
        types = ContentTypes(self._config.types, self._config.charset)
        self._pages.read(self._config.error_pages, self._finder.roots, types)

    async def _find(self, exchange: Exchange, name: str) -> Response | None:
        found = await self._held.find(name, exchange.started)
        if isinstance(found, Asset):
            answer = respond(self._finder, exchange.request, found)
            return answer if isinstance(answer, Response) else await self._opened(exchange, name, answer)
        other = self._other(exchange, found)
        return other if other is None or isinstance(other, Response) else await other

    async def _opened(self, exchange: Exchange, name: str, answer: Awaitable[Response]) -> Response | None:
        """A file from the disk; what has just gone is missing."""
        try:
            return await answer
        except FileChanged:
            self._held.forget(name)
            missing = self._missing(exchange)
            return missing if missing is None or isinstance(missing, Response) else await missing

    def _other(self, exchange: Exchange, found: Found) -> Response | Awaitable[Response | None] | None:
        if isinstance(found, Folder):
            return self._list(exchange, found) if found.is_listed else _with_slash(exchange)
        if found is not NOTHING:
            raise ClientError("a file that may not be read", status=403)
        return self._missing(exchange)

    def _other_method(self) -> Response | None:
        if self._passes:
            return None
        return Response(405, {"allow": "GET, HEAD"}, "405 Method Not Allowed\n")

    def _missing(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        fallback = self._config.fallback
        if fallback is not None and _is_navigation(exchange):
            return self._fall_back(exchange, fallback)
        if self._passes:
            return None
        raise ClientError("no such file", status=404)

    async def _fall_back(self, exchange: Exchange, name: str) -> Response | None:
        found = self._held.get(name, exchange.started) or await self._held.find(name, exchange.started)
        if isinstance(found, Asset):
            try:
                answer = respond(self._finder, exchange.request, found, _VARY_BY_ACCEPT)
                return answer if isinstance(answer, Response) else await answer
            except FileChanged:
                self._held.forget(name)
        if self._passes:
            return None
        raise ClientError("no such file, and no fallback", status=404)

    async def _list(self, exchange: Exchange, folder: Folder) -> Response | None:
        request = exchange.request
        read = partial(read_folder, folder.root, folder.name, is_hidden_served=self._config.hidden)
        try:
            rows = await asyncio.get_running_loop().run_in_executor(None, read)
        except PermissionError:
            raise ClientError("a folder that may not be read", status=403) from None
        is_json = wants_json(request.headers.text(b"accept", ""))
        response = as_json(rows) if is_json else as_page(request.path, rows)
        if request.method == "HEAD" and isinstance(response.body, bytes):
            response.headers.set(b"content-length", b"%d" % len(response.body))
            response.body = b""
        return response

    def __repr__(self) -> str:
        return f"<ServeFiles {', '.join(str(root.path) for root in self._finder.roots)}: {self._held}>"


def _is_navigation(exchange: Exchange) -> bool:
    return b"text/html" in b",".join(exchange.request.headers.get_all(b"accept")).lower()


def _with_slash(exchange: Exchange) -> Response:
    """To the same path with a slash at its end.

    It can lead to no other host: a path with empty segments or backslashes is the name of nothing.
    """
    request = exchange.request
    query = b"?" + request.query if request.query else b""
    return Response.adopt(308, [(b"location", request.raw_path + b"/" + query)], b"")
