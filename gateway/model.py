"""What travels through the pipeline: Request, Response, Attempt and the Exchange that holds them.

Owns their fields and nothing else: no sockets, no decisions, no configuration.
"""

from __future__ import annotations

import random
import reprlib
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

import orjson

from gateway.body import Body, OpenBody, WholeBody, gathered
from gateway.errors import BodyTooLarge, GatewayError
from gateway.headers import Headers, RawHeaders, cookies_of
from gateway.state import Stateful, StateKey

if TYPE_CHECKING:
    from gateway.admission import Bounds
    from gateway.app import App
    from gateway.connection import Connection
    from gateway.routing import Route
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.group import Upstream

_new: Any = object.__new__
"""Looked up once: every exchange makes some objects past their checking `__init__`."""

METHODS_WITHOUT_BODY = frozenset(("GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "CONNECT"))
IDEMPOTENT_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""RFC 9110 9.2.2."""

_PATH = "/:@!$&'()*+,;=-._~"
"""What stands for itself in a path (RFC 3986 3.3)."""


def new_id() -> str:
    """Sixteen hexadecimal digits, unique for any practical purpose; not a secret."""
    return random.getrandbits(64).to_bytes(8, "big").hex()


class Request:
    """What the client asked for. Path, query and header values are the bytes that arrived."""

    __slots__ = (
        "_host", "body", "client", "client_port", "has_body", "headers", "http_version", "length", "method", "peer",
        "query", "raw_path", "scheme",
    )  # fmt: skip

    method: str
    scheme: str
    """`http`, `https`, `ws` or `wss`."""
    raw_path: bytes
    """As it came, percent-encoding and all."""
    query: bytes
    """Without the question mark; empty if there was none."""
    headers: Headers
    http_version: str
    """`1.0`, `1.1` or `2`."""
    peer: str
    """Address of the TCP peer; empty on a Unix socket."""
    client: str
    """Address of the client: the peer, or what a trusted proxy says of it."""
    client_port: int
    has_body: bool
    """Whether the client sends one."""
    length: int | None
    """Bytes of the body as the client has announced them; None if it did not. `Content-Length` may be changed by a
    plugin, and says nothing of what follows any more."""
    body: AsyncIterable[bytes] | None
    """The body as it arrives; None if there is none. It can be read once: plugins use `read`, which leaves it to be
    forwarded, or `wrap_request_body`; another one is put here as a `WholeBody`."""

    def __init__(
        self,
        method: str = "GET",
        target: str | bytes = "/",
        headers: Mapping[str, str | bytes] | Iterable[tuple[str | bytes, str | bytes]] | Headers | None = None,
        *,
        scheme: str = "http",
        client: str = "127.0.0.1",
        client_port: int = 0,
        http_version: str = "1.1",
        body: AsyncIterable[bytes] | bytes | str | None = None,
    ) -> None:
        target = target.encode("latin-1") if isinstance(target, str) else target
        self.method = method
        self.scheme = scheme
        self.raw_path, _, self.query = target.partition(b"?")
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.http_version = http_version
        self.peer = self.client = client
        self.client_port = client_port
        body = body.encode() if isinstance(body, str) else body
        self.body = WholeBody(body) if isinstance(body, bytes) else body
        self.has_body = body is not None
        self.length = None
        self.length = self.body_length
        self._host: str | None = None

    @property
    def target(self) -> bytes:
        """Path and query as they go on the request line."""
        return self.raw_path + b"?" + self.query if self.query else self.raw_path

    @property
    def path(self) -> str:
        """The path, percent-decoded; bytes that are no UTF-8 become U+FFFD. For people and matching only."""
        return unquote_to_bytes(self.raw_path).decode("utf-8", "replace")

    @property
    def body_length(self) -> int | None:
        """Bytes of the body that is there now, as far as that is known."""
        length: int | None = getattr(self.body, "length", self.length)
        return length

    def cookie(self, name: str) -> str | None:
        """The first cookie of that name, as it came."""
        return next(cookies_of(self.headers.raw, name), None)

    @property
    def host(self) -> str:
        """Host without the port, in lower case."""
        if self._host is None:
            self._host = host_without_port(self.headers.get(b"host", b"")).decode("latin-1").lower()
        return self._host

    async def read(self, most: int = 1024 * 1024) -> bytes:
        """The whole body, which is still there to be forwarded. One over `most` bytes is refused (413)."""
        body = self.body
        if body is None:
            return b""
        pieces: list[bytes] = []
        size = 0
        async for piece in body:
            size += len(piece)
            if size > most:
                raise BodyTooLarge(most)
            pieces.append(piece)
        self.body = WholeBody(b"".join(pieces))
        return self.body.data

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target.decode('latin-1')}>"


def host_without_port(value: bytes) -> bytes:
    """`example.com:8080` → `example.com`, `[::1]:80` → `[::1]`."""
    if value.startswith(b"["):
        return value[: value.find(b"]") + 1]
    return value.partition(b":")[0]


class Response:
    """What the client gets: an upstream's answer, or one that a plugin or the gateway made."""

    __slots__ = ("body", "headers", "is_for_one", "status")

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[str, str | bytes] | Iterable[tuple[str | bytes, str | bytes]] | Headers | None = None,
        body: Body | str = b"",
    ) -> None:
        if not 200 <= status <= 599:
            raise ValueError(f"a response's status is 200 to 599, not {status}")
        self.status = status
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        if isinstance(body, str):
            body = body.encode()
            self.headers.set_default(b"content-type", b"text/plain; charset=utf-8")
        elif not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
            raise TypeError(
                "a response's body is bytes, text or an asynchronous iterator of bytes (Response.json makes one of"
                f" data), not {reprlib.repr(body)}"
            )
        self.body: Body = body
        """Bytes, or an asynchronous iterator of them; text is taken here only."""
        self.is_for_one = False
        """Set by a plugin that made it for one exchange alone, which saves a copy: what a plugin answers with may
        be one object for all, so that each exchange gets its own."""

    @classmethod
    def adopt(cls, status: int, raw: RawHeaders, body: Body) -> Response:
        """A response over parsed parts, not copied and not checked."""
        # hot: plain
        response: Response = _new(cls)
        response.is_for_one = False
        response.status = status
        response.headers = Headers.adopt(raw)
        response.body = body
        return response

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """A JSON answer."""
        return cls(status, {"content-type": "application/json"}, orjson.dumps(value))

    @classmethod
    def redirect(cls, location: str, status: int = 302) -> Response:
        """Send the client elsewhere."""
        return cls(status, {"location": location})

    async def read(self, most: int = 1024 * 1024) -> bytes:
        """The whole body, which is still there to be sent. Raises BadResponse for one of more than `most` bytes."""
        self.body = body = await gathered(self.body, most)
        return body

    def __repr__(self) -> str:
        size = f"{len(self.body)} bytes" if isinstance(self.body, bytes) else "streamed"
        return f"<Response {self.status}, {size}>"


class Attempt:
    """One try of an exchange at one endpoint."""

    __slots__ = ("answered", "ended", "endpoint", "error", "headers", "is_reused", "number", "started", "status")

    def __init__(self, number: int, endpoint: Endpoint, headers: Headers) -> None:
        self.number = number
        """1 for the first."""
        self.endpoint = endpoint
        self.headers = headers
        """What will be sent; `on_upstream_request` may change it for this attempt alone."""
        self.started = time.monotonic()
        self.answered = 0.0
        """When the response head was there, if the rest came later; 0 if all came at once, or nothing."""
        self.ended = 0.0
        self.status: int | None = None
        self.error: GatewayError | None = None
        self.is_reused = False
        """Whether it went over a kept connection."""

    def __repr__(self) -> str:
        outcome = self.error.__class__.__name__ if self.error else self.status
        return f"<Attempt {self.number} at {self.endpoint.name}: {outcome or 'under way'}>"


class _MadeWhenAsked:
    """The id of an exchange that has none yet: the first look makes one, and then this is out of the way."""

    def __get__(self, exchange: Exchange, owner: object = None) -> str:
        exchange.id = made = new_id()
        return made


class Exchange(Stateful):
    """One request and its response, and the record of what was decided on the way.

    Times are seconds: `started` and `ended` by the monotonic clock, `started_at` since the epoch.
    """

    # hot: plain. Defaults live on the class, so that building one costs only what differs; those that every
    # exchange is asked for are set on it all the same, since falling back to the class costs ten times as much.
    app: App
    request: Request
    route: Route
    upstream: Upstream
    """Who will be asked: the route's upstream, until a plugin's `on_request` puts another one here."""
    forwarded_path: bytes | None
    """The path that endpoints see, if it is not the request's: a route or `rewrite` has changed it."""
    inherited_path: bytes | None = None
    """The `forwarded_path` of the exchange that this one is a copy of."""
    response: Response | None = None
    answered_by: str | None = None
    """The plugin that answered in an endpoint's stead; `route` for a route's own answer."""
    error: GatewayError | None
    """The failure that the client was told of, if any."""
    ended: float = 0.0
    bytes_sent: int = 0
    """Body bytes handed to the client's connection."""
    bytes_received: int
    """Body bytes read from the client."""
    notes: list[tuple[str, str]] | tuple[()]
    """Who decided what, in order; see `note`."""
    open_body: OpenBody | None
    """The upstream's body while it is being read; closed when the exchange ends, however it ends."""
    user: str = ""
    """Who the client has proven to be, as a plugin that authenticates says; for logs."""
    bounds: Bounds | None = None
    """What the request's body is held to, if a plugin has set something: `exchange.app.bounds.tightened(…)`."""
    is_clients: bool = False
    """Whether a client waits for what becomes of it; false for a copy."""
    is_tunnel: bool = False
    """True for a WebSocket: the exchange lasts as long as the tunnel."""
    connection: Connection | None = None
    """What is known of the client's connection, where an edge has accepted it."""
    _captures: Mapping[str, str] | None = None
    _state: dict[StateKey[Any], Any] | None = None

    def __init__(self, app: App, request: Request, listener: str = "") -> None:
        self.app = app
        self.request = request
        self.listener = listener
        self.started = time.monotonic()
        self.attempts: list[Attempt] = []
        self.forwarded_path = self.error = self.open_body = None
        self.bytes_received = 0
        self.notes = ()

    def watch_client(self, on_left: Callable[[GatewayError], None]) -> None:
        """Look after the client from now on, and call the given function if it leaves; listeners know how."""

    if TYPE_CHECKING:
        id: str
        """The request id: made when first asked for, or set by a plugin."""
    else:
        id = _MadeWhenAsked()

    @property
    def captures(self) -> Mapping[str, str]:
        """What stands where the route's match has names: `{"id": "5"}` for `/users/{id}`.

        Parts of the path are as they came, percent-encoding and all; groups of a host's expression are lower case.
        """
        if self._captures is None:
            self._captures = self.route.captures(self.request)
        return self._captures

    @property
    def started_at(self) -> float:
        """When the exchange began, in seconds since the epoch."""
        return time.time() - (time.monotonic() - self.started)

    def copy(self) -> Exchange:
        """An exchange of its own with the same request as it is now, without its body, and with the same way."""
        original = self.request
        request: Request = _new(Request)
        for name in Request.__slots__:
            setattr(request, name, getattr(original, name))
        request.headers = original.headers.copy()
        request.body, request.has_body, request.length = None, False, None
        copy = Exchange(self.app, request, self.listener)
        if hasattr(self, "route"):  # else it is a test's
            copy.route, copy.upstream = self.route, self.upstream
        copy.forwarded_path = copy.inherited_path = self.forwarded_path
        return copy

    def rewrite(self, path: str) -> None:
        """Let endpoints see another path than the client's: text, which is percent-encoded here (RFC 3986 3.3)."""
        self.forwarded_path = quote(path if path.startswith("/") else f"/{path}", safe=_PATH).encode("ascii")

    def answered(self, who: str, what: str) -> None:
        """Leave a record of who answered in an endpoint's stead, and what."""
        self.answered_by = who
        self.note(who, f"answered {what}")

    def note(self, who: str, what: str) -> None:
        """Leave a record of a decision, for `explain`, the access log and tracing."""
        if isinstance(self.notes, list):
            self.notes.append((who, what))
        else:
            self.notes = [(who, what)]

    def __repr__(self) -> str:
        return f"<Exchange {self.request.method} {self.request.target.decode('latin-1')} → {self.response}>"
