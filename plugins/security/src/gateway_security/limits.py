"""The plugin `limits`: how large and how slow a request may be, route by route.

Owns what is refused and with which status. The core counts bodies and minds their pace, for only it knows how long
a client was waited for; its own `[limits]` hold for the whole gateway, and this plugin only tightens them.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway import App, ClientError, Duration, Exchange, PluginConfig, Response, Size, StateKey, hookimpl
from gateway_security.refusal_log import RefusalLog

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_MEDIA_TYPE = re.compile(r"[!#$&^_.+a-z0-9-]+/(?:\*|[!#$&^_.+a-z0-9-]+)").fullmatch

REFUSED_METHOD: StateKey[bool] = StateKey("limits: refused method")


def _check_method(value: str) -> str:
    if not _TOKEN(value):
        raise ValueError(f'expected a method such as "GET", not {value!r}')
    if value != value.upper():
        raise ValueError(f"methods are case-sensitive: {value.upper()!r}, not {value!r}")
    return value


def _check_type(value: str) -> str:
    lowered = value.lower()
    if not _MEDIA_TYPE(lowered):
        raise ValueError(f'expected a media type such as "application/json" or "image/*", not {value!r}')
    return lowered


class Limits:
    """Refuse requests that are larger, slower or of another kind than this route takes.

    What is known from the head is refused before an endpoint hears of it. A body is measured while it arrives.
    """

    api = 1

    class Config(PluginConfig):
        """What a request may be. 0, or an empty list, leaves it to the core's own `[limits]`."""

        methods: tuple[Annotated[str, AfterValidator(_check_method)], ...] = ()
        """The methods that are served; others get 405. HEAD goes with GET."""
        content_types: tuple[Annotated[str, AfterValidator(_check_type)], ...] = ()
        """What a body may be, such as `"application/json"` or `"image/*"`; another one, or one that does not say,
        gets 415."""
        max_body: Size = 16 * 1024**2
        """The body; a larger one gets 413, before an endpoint hears of it if its length is announced."""
        max_header: Size = 0
        """All header fields together; more get 431."""
        max_fields: Annotated[int, Field(ge=0, le=100)] = 64
        """Header fields; more get 431. The server core takes 100 at most."""
        max_uri: Size = 8 * 1024
        """Path and query; longer ones get 414."""
        max_query: Size = 4 * 1024
        """The query alone; a longer one gets 414."""
        body_timeout: Duration = 0.0
        """Seconds without a further byte of a body; then 408."""
        body_rate: Size = 0
        """Bytes a second that have to come of a body, over each `body_timeout`; else 408."""
        body_time: Duration = 0.0
        """Seconds that a body may be waited for in all; then 408."""

    def __init__(self, config: Config) -> None:
        self._methods = frozenset(config.methods) | ({"HEAD"} if "GET" in config.methods else frozenset())
        self._allow = ", ".join((*config.methods, *sorted(self._methods - set(config.methods)))).encode()
        self._types = frozenset(kind.encode() for kind in config.content_types if not kind.endswith("/*"))
        self._families = tuple(kind[:-1].encode() for kind in config.content_types if kind.endswith("/*"))
        self._max_body = config.max_body
        self._max_header = config.max_header
        self._max_fields = config.max_fields or 100
        self._max_uri = config.max_uri or 1 << 62
        self._max_query = config.max_query or 1 << 62
        self._pace: dict[str, Any] = {
            "max_body": config.max_body,
            "body_timeout": config.body_timeout,
            "body_rate": config.body_rate,
            "body_time": config.body_time,
        }
        self._bounds: Any = None
        """What bodies are held to; known when the App's own limits are."""
        self._log = RefusalLog("limits")
        if not self._methods:
            self.on_response = None  # type: ignore[assignment,method-assign]  # it costs even if it does nothing

    @hookimpl
    def startup(self, app: App) -> None:
        """Lay these limits over those of the whole gateway."""
        self._bounds = app.bounds.tightened(**self._pace)

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse what can be refused from the head, and say what its body is held to."""
        # hot: l7-balancer
        request = exchange.request
        query = len(request.query)
        if query > self._max_query or len(request.raw_path) + query + (query > 0) > self._max_uri:
            self._refuse_target(exchange)
        if len(request.headers.raw) > self._max_fields:
            self._refuse(exchange, f"more than {self._max_fields} header fields", 431)
        if self._methods and request.method not in self._methods:
            exchange[REFUSED_METHOD] = True
            self._refuse(exchange, f"method {request.method} is not served here", 405)
        if self._max_header:
            self._check_header(exchange)
        if request.has_body:
            self._check_body(exchange)

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Name the methods that are served to whoever asked for another one (RFC 9110 15.5.6)."""
        if response.status == 405 and REFUSED_METHOD in exchange:
            response.headers.set(b"allow", self._allow)

    def _refuse_target(self, exchange: Exchange) -> None:
        if len(exchange.request.query) > self._max_query:
            self._refuse(exchange, f"query over {self._max_query} bytes", 414)
        self._refuse(exchange, f"URI over {self._max_uri} bytes", 414)

    def _check_header(self, exchange: Exchange) -> None:
        raw = exchange.request.headers.raw
        if sum(map(len, chain.from_iterable(raw))) + 4 * len(raw) > self._max_header:  # ": " and a line's end
            self._refuse(exchange, f"header fields over {self._max_header} bytes", 431)

    def _check_body(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        length = headers.get(b"content-length")
        if self._max_body and length is not None and int(length) > self._max_body:
            self._refuse(exchange, f"body over {self._max_body} bytes", 413)
        if self._types or self._families:
            kinds = headers.get_all(b"content-type")
            if len(kinds) != 1 or not self._takes(kinds[0]):
                self._refuse(exchange, "body of a type that is not served here", 415)
        exchange.bounds = self._bounds or exchange.app.bounds.tightened(**self._pace)

    def _takes(self, value: bytes) -> bool:
        kind = value.partition(b";")[0].strip().lower()
        return kind in self._types or kind.startswith(self._families)

    def _refuse(self, exchange: Exchange, why: str, status: int) -> None:
        exchange.note("limits", f"refused: {why}")
        self._log.tell(exchange, "refused", why)
        raise ClientError(why, status=status)
