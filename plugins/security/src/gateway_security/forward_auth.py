"""The plugin `forward-auth`: another service says of each request whether it may go on.

Owns what that service is asked, and what comes of its answer. Does not send anything itself (`App.ask`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from cachetools import LRUCache
from pydantic import AfterValidator, Field

from gateway import (
    App,
    ConfigurationError,
    Duration,
    Exchange,
    GatewayError,
    Headers,
    PluginConfig,
    Request,
    Response,
    UpstreamError,
    hookimpl,
)
from gateway_security.own_headers import OwnHeader, OwnHeaders
from gateway_security.personal import keep_private
from gateway_security.refusing import Refusals, is_preflight

NAME = "forward-auth"
REDIRECTS = frozenset((301, 302, 303, 307, 308))

ASKED_WITH = ("x-forwarded-method", "x-forwarded-uri")
"""What the service learns beside the fields that every upstream gets: -For, -Host and -Proto."""

_LEFT_OUT = frozenset(
    (
        b"accept-encoding", b"content-encoding", b"content-length", b"content-type", b"expect", b"if-match",
        b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since", b"range",
        b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol", b"sec-websocket-version",
    )
)  # fmt: skip
"""Of a body that the service does not get, or that would make its answer another one than to the question."""

Fields = list[tuple[bytes, bytes]]


class NoVerdict(UpstreamError):
    """The service that decides gave no answer, or none that decides."""

    status = 503


def _check_path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value):
        raise ValueError(f'expected a path such as "/verify", not {value!r}')
    return value


def _check_name(value: str) -> str:
    Headers().add(value, "")
    return value.lower()


HeaderName = Annotated[str, AfterValidator(_check_name)]


class ForwardAuth:
    """Let on what another service answers 2xx to; its 401, 403 or redirect is the client's answer.

    The service is an upstream of the site. It gets the request's head without its body, before anything of it goes
    on. Whatever else it answers, and no answer, means 503.
    """

    api = 1

    class Config(PluginConfig):
        """Who is asked, how, and what is taken from the answer."""

        upstream: str
        """The upstream that is asked; a name under `upstreams`."""
        path: Annotated[str, AfterValidator(_check_path)] = "/"
        """What it is asked for: path and query."""
        method: Literal["GET", "HEAD", "POST"] = "GET"
        """The method it is asked with; the client's own is in `X-Forwarded-Method`, path and query are in
        `X-Forwarded-Uri`."""
        request_headers: tuple[HeaderName, ...] = ()
        """The client's headers that it gets; empty means all but those about the body and conditions."""
        response_headers: tuple[OwnHeader, ...] = ()
        """Headers of its 2xx that go to the route's upstream. A client's own of these names are taken away."""
        client_headers: tuple[HeaderName, ...] = ("content-type", "location", "set-cookie", "www-authenticate")
        """Headers of its 401, 403 or redirect that the client gets."""
        timeout: Annotated[Duration, Field(gt=0)] = 5.0
        """The longest that a request waits for it; the upstream's own timeouts hold, too."""
        allow_preflight: bool = False
        """Whether CORS preflights pass without asking: browsers send no credentials with them."""
        cache: Duration = 0.0
        """So long a 2xx holds for the next request that is the same; 0 means that each one is asked about."""
        cache_headers: tuple[HeaderName, ...] = ("authorization", "cookie")
        """The headers that have to be the same. A request that has none of them is always asked about."""
        cache_for: Literal["request", "credentials"] = "request"
        """What else has to be the same: with `request` client, method, scheme, host, path and query; with
        `credentials` nothing, for a service that looks at these headers alone."""
        max_cached: Annotated[int, Field(ge=1)] = 10_000
        """Answers that each worker remembers."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        path, _, query = config.path.partition("?")
        self._path, self._query = path.encode(), query.encode()
        self._wanted = frozenset(name.encode() for name in config.request_headers)
        self._passed_on = frozenset(name.encode() for name in config.response_headers)
        self._told = frozenset(name.encode() for name in config.client_headers)
        self._own = OwnHeaders(config.response_headers)
        self._told |= {b"content-encoding"}  # or its body makes no sense
        forged = set(config.response_headers) - {"authorization"}  # which it is asked about
        self._never_asked_with = OwnHeaders([*forged, *ASKED_WITH])
        self._refuse = Refusals(NAME)
        self._key = os.urandom(32)
        self._keyed_by = frozenset(name.encode() for name in config.cache_headers)
        self._answers: LRUCache[bytes, tuple[float, Fields]] = LRUCache(config.max_cached)
        if not config.response_headers:
            self.on_upstream_response = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def on_check(self, app: App) -> None:
        """See whether there is such an upstream."""
        name = self._config.upstream
        if name not in app.upstreams:
            known = ", ".join(sorted(app.upstreams)) or "none"
            raise ConfigurationError(f"upstream: there is no upstream {name!r} (known: {known})")

    @hookimpl
    def startup(self, app: App) -> None:
        """Refuse a start without the upstream."""
        self.on_check(app)

    # -- exchanges ---------------------------------------------------------------------------------------------

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Go on with what is known, or ask."""
        request = exchange.request
        if self._config.allow_preflight and is_preflight(request):
            self._own.clear(request.headers)
            return None
        key = self._key_of(request) if self._config.cache else b""
        if key:
            known = self._answers.get(key)
            if known is not None and known[0] > self._clock():
                self._let_on(exchange, known[1])
                return None
        return self._ask(exchange, key)

    def _let_on(self, exchange: Exchange, fields: Fields) -> None:
        headers = exchange.request.headers
        self._own.clear(headers)
        headers.raw += fields
        exchange.note(NAME, f"allowed by {self._config.upstream}")

    def _key_of(self, request: Request) -> bytes:
        """What the answer depends on; empty if the request has nothing to be known by."""
        parts = [part for field in request.headers.raw if field[0] in self._keyed_by for part in field]
        if not parts:
            return b""
        if self._config.cache_for == "request":
            host = request.headers.get(b"host", b"")
            line = (request.client, request.method, request.scheme)
            parts += [*(word.encode("latin-1") for word in line), host, request.raw_path, request.query]
        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for part in parts:
            digest.update(b"%d:" % len(part))
            digest.update(part)
        return digest.digest()

    async def _ask(self, exchange: Exchange, key: bytes) -> Response | None:
        try:
            async with asyncio.timeout(self._config.timeout):
                answer = await exchange.app.ask(self._config.upstream, self._question(exchange))
        except TimeoutError:
            raise self._no_verdict(exchange, f"no answer within {self._config.timeout:g} s") from None
        except GatewayError as error:
            raise self._no_verdict(exchange, f"{type(error).__name__}: {error}") from None
        status = answer.status
        if 200 <= status <= 299:
            fields = [field for field in answer.headers.raw if field[0] in self._passed_on]
            if key:
                self._answers[key] = (self._clock() + self._config.cache, fields)
            self._let_on(exchange, fields)
            return None
        if status in (401, 403) or status in REDIRECTS:
            return self._deny(exchange, answer)
        raise self._no_verdict(exchange, f"status {status}")

    def _question(self, exchange: Exchange) -> Exchange:
        """The request that is sent: the client's head, under another method and path."""
        question = exchange.copy()
        request, original = question.request, exchange.request
        request.method, request.raw_path, request.query = self._config.method, self._path, self._query
        headers = request.headers
        self._never_asked_with.clear(headers)
        headers.raw[:] = [field for field in headers.raw if self._is_asked_with(field[0])]
        headers.raw.append((b"x-forwarded-method", original.method.encode("latin-1")))
        headers.raw.append((b"x-forwarded-uri", original.target))
        return question

    def _is_asked_with(self, name: bytes) -> bool:
        """Whether the service gets a client's header. `x_forwarded_for` and the like might pass for one of ours."""
        if self._wanted:
            return name in self._wanted or name == b"host"
        return name not in _LEFT_OUT and b"_" not in name

    def _deny(self, exchange: Exchange, answer: Response) -> Response:
        """The service's own answer: its status, the listed headers and its body."""
        status, why = answer.status, f"status {answer.status} of {self._config.upstream}"
        fields = [field for field in answer.headers.raw if field[0] in self._told]
        if status not in REDIRECTS and not answer.body:
            response = self._refuse(exchange, status, why)
            response.headers.raw += [field for field in fields if field[0] != b"content-type"]
            return response
        self._refuse.record(exchange, status, why)
        response = Response(status, Headers.adopt(fields), answer.body)
        response.headers.set_default(b"cache-control", b"no-store")
        return response

    def _no_verdict(self, exchange: Exchange, why: str) -> NoVerdict:
        exchange.note(NAME, f"refused: {why}")
        return NoVerdict(f"{NAME}: upstream {self._config.upstream!r}: {why}")

    @hookimpl(trylast=True)
    def on_upstream_response(self, exchange: Exchange, response: Response) -> None:
        """Before a cache sees it: what depends on the service's headers is for nobody else, unless it says so."""
        keep_private(response)

    def __repr__(self) -> str:
        return f"<ForwardAuth: asks {self._config.upstream}, {len(self._answers)} answers known>"
