"""The plugin `cors`: say to browsers which other sites' pages may read what is here (Fetch 3.2).

Owns the fields of CORS, on the upstream's behalf, and the answers to preflights. Which origins are meant is in
`origins`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway import ClientError, Duration, Exchange, Headers, PluginConfig, Response, hookimpl
from gateway_security.origins import ANY, Origins, check_origin, lets_in_anybody
from gateway_security.refusal_log import RefusalLog

THEIRS = frozenset(
    (b"access-control-allow-credentials", b"access-control-allow-headers", b"access-control-allow-methods",
     b"access-control-allow-origin", b"access-control-allow-private-network", b"access-control-expose-headers",
     b"access-control-max-age")
)  # fmt: skip
"""What an upstream says of this is replaced: two answers are none to a browser."""

_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
_VARY_PRIVATE = _VARY + b", Access-Control-Request-Private-Network"
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
_TOKENS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*").fullmatch

Fields = list[tuple[bytes, bytes]]


def _token(text: str) -> str:
    Headers().add(text, "")
    return text


def _method(text: str) -> str:
    if text not in _METHODS and text.upper() in _METHODS:
        raise ValueError(f"methods are in upper case: write {text.upper()!r}, not {text!r}")
    return _token(text)


class Cors:
    """Let pages of the sites named read responses, and answer their preflights without asking the upstream.

    A request that CORS forbids is served all the same, unless `refuse` says otherwise: the browser keeps the
    response from the page.
    """

    api = 1

    class Config(PluginConfig):
        """Who may do what. Without origins the plugin does nothing at all."""

        origins: tuple[Annotated[str, AfterValidator(check_origin)], ...] = ()
        """Whose pages: `"https://app.example.com"`, `"https://*.example.com"` (every subdomain, of any depth),
        `"~https://pr-[0-9]+[.]example[.]com"` (an expression for the whole origin), `"null"`, or `"*"` for all."""
        methods: tuple[Annotated[str, AfterValidator(_method)], ...] = ("GET", "HEAD", "POST")
        """Methods that they may use; `["*"]` for any."""
        headers: tuple[Annotated[str, AfterValidator(_token)], ...] = ()
        """Request headers that they may set beside the harmless ones, such as `["content-type"]`; `["*"]` for
        any."""
        exposed: tuple[Annotated[str, AfterValidator(_token)], ...] = ()
        """Response headers that they may read beside the harmless ones; `["*"]` for any, without credentials."""
        credentials: bool = False
        """Whether they may act with the visitor's cookies."""
        max_age: Annotated[Duration, Field(le=86400.0)] = 600.0
        """For how long a browser may remember the answer to a preflight; many take two hours at most."""
        private_network: bool = False
        """Whether public sites may reach this one in a private network (Private Network Access)."""
        refuse: bool = False
        """Whether requests, WebSockets included, of pages of any further site are refused (403)."""

        @model_validator(mode="after")
        def _check_together(self) -> Cors.Config:
            if ANY in self.origins and len(self.origins) > 1:
                raise ValueError('origins: "*" is all of them: leave out the others')
            if self.refuse and ANY in self.origins:
                raise ValueError('refuse: with origins = ["*"] there is nobody to refuse')
            if self.credentials:
                if wide := next(filter(lets_in_anybody, self.origins), None):
                    raise ValueError(
                        f"credentials: with {wide!r} in origins any site could act for its visitors: name them"
                    )
                if ANY in self.exposed:
                    raise ValueError('exposed: with credentials "*" means nothing to browsers: name the headers')
            return self

    def __init__(self, config: Config) -> None:
        self._origins = Origins(config.origins)
        self._lets_in_all = ANY in config.origins
        self._refuses = config.refuse
        self._takes_any_method, self._takes_any_header = ANY in config.methods, ANY in config.headers
        self._takes_private = config.private_network
        self._log = RefusalLog("cors")
        self._vary: Fields = [(b"vary", _VARY_PRIVATE if config.private_network else _VARY)]
        self._further: Fields = [(b"access-control-allow-credentials", b"true")] if config.credentials else []
        self._answer: Fields = [*self._further, (b"access-control-max-age", b"%d" % config.max_age)]
        if not self._takes_any_method:
            self._answer.append((b"access-control-allow-methods", ", ".join(config.methods).encode()))
        if config.headers and not self._takes_any_header:
            self._answer.append((b"access-control-allow-headers", ", ".join(config.headers).encode()))
        if config.exposed:
            self._further.append((b"access-control-expose-headers", ", ".join(config.exposed).encode()))
        # Takes the hooks away: even one that does nothing costs each exchange.
        if not config.origins:
            self.on_request = None  # type: ignore[assignment,method-assign]
            self.on_response = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        """Answer a preflight; refuse a page of another site if that is wanted."""
        # hot: reverse-proxy
        request = exchange.request
        if request.method != "OPTIONS" and not self._refuses:
            return None
        origin = request.headers.get(b"origin")
        if origin is None:
            return None
        is_allowed = self._lets_in_all or origin in self._origins
        if not is_allowed and self._refuses and not _is_own(exchange, origin):
            self._log.tell(exchange, "refused", f"origin {origin[:200].decode('latin-1')!r}")
            raise ClientError("a page of an origin that is not among those named", status=403)
        if request.method != "OPTIONS" or b"access-control-request-method" not in request.headers:
            return None
        if not is_allowed:
            exchange.note("cors", f"origin {origin[:200].decode('latin-1')!r} is not among those named")
            return Response.adopt(204, self._vary.copy(), b"")
        return self._preflight(request.headers, origin)

    def _preflight(self, asked: Headers, origin: bytes) -> Response:
        fields = [(b"access-control-allow-origin", b"*" if self._lets_in_all else origin), *self._answer]
        if self._takes_any_method:
            _echo(asked, b"access-control-request-method", fields, b"access-control-allow-methods")
        if self._takes_any_header:  # a star does not cover Authorization, and nothing with credentials
            _echo(asked, b"access-control-request-headers", fields, b"access-control-allow-headers")
        if self._takes_private and asked.get(b"access-control-request-private-network") == b"true":
            fields.append((b"access-control-allow-private-network", b"true"))
        return Response.adopt(204, fields + self._vary, b"")

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Say whether the page may read it, in the place of what the upstream says."""
        # hot: reverse-proxy
        raw = response.headers.raw
        there = dict(raw)
        if not THEIRS.isdisjoint(there):
            response.headers.raw = raw = [field for field in raw if field[0] not in THEIRS]
        if self._lets_in_all:
            raw.append((b"access-control-allow-origin", b"*"))
            raw += self._further
            return
        for name, value in exchange.request.headers.raw:
            if name == b"origin":
                if value in self._origins:
                    raw.append((b"access-control-allow-origin", value))
                    raw += self._further
                break
        vary = there.get(b"vary")
        if vary is None or (vary != b"*" and b"origin" not in vary.lower()):
            raw.append((b"vary", b"Origin"))


def _echo(asked: Headers, name: bytes, fields: Fields, allowed: bytes) -> None:
    """Allow what is asked for, if it is a list of names."""
    value = asked.get(name, b"")
    if _TOKENS(value):
        fields.append((allowed, value))


def _is_own(exchange: Exchange, origin: bytes) -> bool:
    """Whether it is this site's own page: same host and port. Where TLS ended before us, the scheme differs."""
    request, app = exchange.request, exchange.app
    host = request.headers.get(b"host", b"")
    if app.has_trusted_proxies and app.is_trusted(request):
        host = request.headers.get(b"x-forwarded-host", host)
    scheme, separator, authority = origin.partition(b"://")
    port = b":443" if scheme == b"https" else b":80"
    return bool(separator) and host.lower().removesuffix(port) == authority.removesuffix(port)
