"""The settings of a gateway as typed, frozen models, each with a safe default.

Owns names, types and defaults. Does not read files (`loader`) and does not act on anything.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from gateway.config.addresses import Address as Address
from gateway.config.addresses import EndpointURL as EndpointURL
from gateway.config.addresses import parse_bind as parse_bind
from gateway.config.addresses import split_endpoint as split_endpoint
from gateway.config.routes import Match as Match
from gateway.config.routes import PluginUse as PluginUse
from gateway.config.routes import Route as Route
from gateway.config.routes import check_routes
from gateway.config.types import Duration, FilePath, Model, Network, Secret, Size

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?").fullmatch


Bind = Annotated[Address, BeforeValidator(parse_bind), PlainSerializer(str)]


class ListenerTLS(Model):
    """TLS on a listener. What stands here beside these keys belongs to the plugin `tls`, which checks it."""

    model_config = {"extra": "allow"}

    cert: FilePath | None = None
    """The certificate, followed by those between it and the root, in a PEM file."""
    key: FilePath | None = None
    """Its private key, in a PEM file."""
    policy: Literal["intermediate", "modern"] = "intermediate"
    """Mozilla's names for what is spoken: `intermediate` is TLS 1.2 with forward secrecy and TLS 1.3, `modern` is
    TLS 1.3 alone."""
    min_version: Literal["1.2", "1.3"] | None = None
    """The oldest version of TLS; without it, what the policy says."""

    @property
    def oldest(self) -> str:
        """`1.2` or `1.3`."""
        return self.min_version or ("1.3" if self.policy == "modern" else "1.2")

    @property
    def extras(self) -> dict[str, Any]:
        """What belongs to the plugin."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _check_pair(self) -> ListenerTLS:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: name both")
        if self.cert is None and not self.model_extra:
            raise ValueError("needs cert and key")
        if self.policy == "modern" and self.min_version == "1.2":
            raise ValueError('policy = "modern" is TLS 1.3 alone; leave min_version out, or take "intermediate"')
        return self


class Listener(Model):
    """A bound address, its protocol and TLS."""

    bind: Bind
    """`127.0.0.1:8080`, `[::1]:8080`, `:8080` (every IPv4 address) or `unix:/run/gateway.sock`."""
    name: str = ""
    """What logs call it; empty means its address."""
    protocol: Literal["http"] = "http"
    """The only one so far."""
    tls: ListenerTLS | None = None
    http: Literal["", "1", "2", "auto"] = ""
    """HTTP versions; empty means 1 on plaintext, auto (1.1 and 2) over TLS."""
    websockets: bool = True
    """Whether a WebSocket may be opened, over HTTP/1.1."""
    max_connections: Annotated[int, Field(gt=0)] = 8192
    """Connections at once and per worker; more wait in the backlog."""
    backlog: Annotated[int, Field(gt=0)] = 4096
    """Connections that the system holds until they are accepted."""
    header_timeout: Duration = 30.0
    """Seconds to read a request head, and a TLS handshake; also how long a kept connection may idle."""
    proxy_protocol: bool = False
    """Whether every connection begins with a PROXY header, version 1 or 2, which says who the client is. Only
    `trusted_proxies` may send one; connections of others are closed."""
    handshake_timeout: Duration = 10.0
    """Seconds for a PROXY header and a TLS handshake, where a plugin or the PROXY protocol looks at connections."""

    @property
    def http_mode(self) -> str:
        """`1`, `2` or `auto`."""
        return self.http or ("auto" if self.tls else "1")

    @property
    def asks_for_an_edge(self) -> bool:
        """Whether it says something that the server core cannot do; plugins may ask for an edge, too."""
        return self.proxy_protocol or (self.tls is not None and bool(self.tls.extras))

    @property
    def label(self) -> str:
        """The name, or the address."""
        return self.name or str(self.bind)

    @property
    def url(self) -> str:
        """How a person would write it: `https://127.0.0.1:8443`."""
        return f"{'https' if self.tls else 'http'}://{self.bind}"


class Limits(Model):
    """What a client may send, and how slow it may be. Zero means no limit."""

    max_body: Size = 1024**3
    """The body of a request; a larger one gets 413."""
    max_header: Size = 64 * 1024
    """All header fields of a request together; more get 431."""
    max_uri: Size = 16 * 1024
    """Path and query; longer ones get 414."""
    body_timeout: Duration = 30.0
    """Seconds without a further byte of a request body; then 408."""
    body_rate: Size = 240
    """Bytes a second that have to come of it, over each `body_timeout` in which it is waited for; else 408."""
    send_timeout: Duration = 60.0
    """Seconds in which a client takes nothing, or too little, of what waits for it; then its connection is cut."""
    send_rate: Size = 240
    """Bytes a second that a client has to take, over each `send_timeout`. 0 means that one byte is enough."""
    match_body: Size = 64 * 1024
    """How much of a body is held back where a route matches by `json` or `body`; a larger body never matches."""


class EndpointSettings(Model):
    """One address of an upstream."""

    url: str
    """`http://10.0.0.1:8000`, `https://app.internal`, `unix:/run/app.sock`, or a bare `10.0.0.1:8000`."""
    weight: Annotated[int, Field(ge=0, le=65535)] = 1
    """Its share of the traffic, for the balancers that know weights. 0 means none."""
    priority: Annotated[int, Field(ge=0, le=255)] = 0
    """Endpoints with a higher number are asked only when too few of the lower ones are left: backups."""
    zone: str = ""
    """Where it is; see `prefer.zone` of the upstream."""

    @field_validator("url")
    @classmethod
    def _check(cls, value: str) -> str:
        split_endpoint(value)
        return value


class Pool(Model):
    """Connections to one endpoint, per worker."""

    max_connections: Annotated[int, Field(gt=0)] = 1024
    """Connections at once, and so exchanges under way; WebSockets are not counted."""
    max_idle: Annotated[int, Field(ge=0)] = 256
    """Connections that are kept for the next exchange."""
    idle_timeout: Duration = 60.0
    """How long one of them is kept."""
    queue: Annotated[int, Field(ge=0)] = 1024
    """Exchanges that may wait for a connection when all are taken; a further one gets 503."""
    queue_timeout: Duration = 5.0
    """How long one waits before it gets 503. 0 means as long as it takes."""


class Timeouts(Model):
    """Seconds towards an endpoint. Zero means no limit."""

    connect: Duration = 5.0
    """Until a connection is there, TLS included."""
    response: Duration = 60.0
    """From the last byte sent to the response head. Does not run while an upload makes progress."""
    idle: Duration = 60.0
    """Between two pieces of a body."""
    tunnel_idle: Duration = 3600.0
    """Without a message either way through a WebSocket."""
    total: Duration = 0.0
    """From the request to the end of the response, all attempts and pauses included."""


def _check_retried(value: object) -> object:
    is_status = isinstance(value, int) and 500 <= value <= 599
    if not is_status and value not in ("closed", "timeout", "invalid"):
        raise ValueError(f'expected "closed", "timeout", "invalid" or a status from 500 to 599, not {value!r}')
    return value


class Retries(Model):
    """When a request is repeated at another endpoint.

    Always if the connection was refused or not accepted in time: no byte of it was sent. In the cases of `on`, only
    if the method is idempotent and the body is at hand.
    """

    attempts: Annotated[int, Field(ge=1, le=16)] = 3
    """Attempts in all, the first one counted. How long each may take is `timeouts.connect` and `.response`."""
    budget: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Retries as a share of the live traffic of this upstream, so that a sick one is not beaten by them. Ten are
    there at the start, and up to 100 are saved in quiet times."""
    on: tuple[Annotated[int | str, BeforeValidator(_check_retried)], ...] = ("closed",)
    """`closed`: the connection broke before a byte of the response. `timeout`: no response head in time; the
    endpoint may still be at work. `invalid`: a response that is none. A number: a response with this status."""
    backoff: Duration = 0.025
    """The pause before the third attempt; it doubles with each further one, and up to half of it is left out at
    random. The second attempt, at another endpoint, is made at once."""

    @property
    def statuses(self) -> frozenset[int]:
        """The numbers of `on`."""
        return frozenset(number for number in self.on if isinstance(number, int))


class Preferences(Model):
    """Which of the endpoints that are up are asked, before the balancer picks one of them."""

    zone: str = ""
    """Endpoints of this zone are asked as long as enough of them are left."""
    enough: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The share of a priority (or zone) that must be up: below it the next one helps out, too. Each priority is
    looked at by itself. 0 means that the next one is asked only when nobody of this one is up, as a `backup` of
    HAProxy is."""
    panic: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With less than this share of all endpoints up, those that are down are asked, too: health may be wrong, and
    the few that are left would be overrun. 0 means never."""


class UpstreamTLS(Model):
    """How an https endpoint is verified."""

    verify: bool = True
    """Whether its certificate has to be valid for its name."""
    ca: FilePath | None = None
    """Whose certificates to trust, in a PEM file; without it those that the system trusts."""
    server_name: str = ""
    """For SNI and verification; empty means the endpoint's host name."""
    cert: FilePath | None = None
    """Our own certificate, for endpoints that ask for one."""
    key: FilePath | None = None
    """Its private key."""


def _named(value: object) -> object:
    return {"use": value} if isinstance(value, str) else value


class Choice(Model):
    """A strategy by name, with its settings beside it: `{ use = "ring-hash", key = "header:x-user" }`."""

    model_config = {"extra": "allow"}

    use: str

    @property
    def settings(self) -> dict[str, Any]:
        """All but the name."""
        return dict(self.model_extra or {})


PLUGIN_TABLES = ("health", "discovery")
"""Tables of an upstream that belong to the plugin of the same name, which checks them."""


class Upstream(Model):
    """A named group of endpoints with a balancer."""

    endpoints: tuple[EndpointSettings, ...] = ()
    """URLs, and tables where there is more to say."""
    balancer: Annotated[Choice, BeforeValidator(_named)] = Choice(use="first")
    """Who picks the endpoint of each attempt, by name or as a table; without one, the first that is available."""
    host: str = "keep"
    """The Host that endpoints see: `keep` the client's, the `endpoint`'s own, or a literal."""
    pool: Pool = Pool()
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    prefer: Preferences = Preferences()
    max_in_flight: Annotated[int, Field(ge=0)] = 0
    """Exchanges that may be under way at all endpoints together, per worker; a further one gets 503 at once, which
    is kinder than a queue that nobody can work off. 0 means no limit."""
    hedge_after: Duration = 0.0
    """Seconds without a response after which a second endpoint is asked, too, if the method is idempotent and there
    is no body; the first response wins. 0 means never."""
    slow_start: Duration = 0.0
    """Seconds over which an endpoint that came back gets its share again, for balancers that know weights: all but
    `first` and `round-robin`."""
    tls: UpstreamTLS = UpstreamTLS()
    max_response_header: Size = 64 * 1024
    """The head of a response; a larger one is none, and the client gets 502."""
    health: dict[str, Any] | None = None
    """Settings of the plugin `health` for this upstream, laid over the plugin's own."""
    discovery: dict[str, Any] | None = None
    """Where the plugin `discovery` finds this upstream's endpoints; those listed serve until it has found some."""

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not _HOST(value):
            raise ValueError(f'expected "keep", "endpoint" or a host such as "app.internal:8080", not {value!r}')
        return value

    @field_validator("endpoints", mode="before")
    @classmethod
    def _read_endpoints(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return [{"url": item} if isinstance(item, str) else item for item in value]

    @model_validator(mode="after")
    def _check_endpoints(self) -> Upstream:
        if not self.endpoints and self.discovery is None:
            raise ValueError("needs at least one of endpoints, or discovery")
        return self

    @property
    def fingerprint(self) -> str:
        """The same in every worker that runs with these settings, and another one with others."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @field_validator("endpoints")
    @classmethod
    def _refuse_repeats(cls, value: tuple[EndpointSettings, ...]) -> tuple[EndpointSettings, ...]:
        urls = [endpoint.url for endpoint in value]
        for url in urls:
            if urls.count(url) > 1:
                raise ValueError(f"endpoint {url!r} stands there twice; use weight instead")
        return value


class Defaults(Model):
    """What a profile lays under every upstream and every listener of a site."""

    upstream: dict[str, Any] = {}
    """Settings of an upstream; what the site says of it wins, key by key."""
    listener: dict[str, Any] = {}
    """Settings of a listener, likewise."""


class Settings(Model):
    """A whole gateway."""

    profile: str = ""
    """What the site file is laid over: the name of an installed profile, or the path of a TOML file."""
    description: str = ""
    """One line; `gateway profiles` shows that of a profile."""
    plugins: tuple[PluginUse, ...] = ()
    """The plugins of every route, from client to upstream."""
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1)]
    """Where clients come in."""
    upstreams: dict[str, Upstream] = {}
    """Where requests go, by a name of your own."""
    routes: tuple[Route, ...] = ()
    """Which request goes where. Without any, all go to the upstream, if there is just one."""
    limits: Limits = Limits()
    trusted_proxies: tuple[Network, ...] = ()
    """Proxies before this gateway, whose `X-Forwarded-*`, `X-Original-*` and the like are believed and passed on;
    by default nobody's."""
    workers: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that serve; without a number, one for each CPU of the machine."""
    user: str = ""
    """Who serves, if the gateway is started by root: workers become this user once their sockets are bound. Empty
    means that they stay who they are."""
    drain_timeout: Duration = 30.0
    """Seconds that exchanges in flight have to finish when a worker stops."""
    worker_timeout: Duration = 30.0
    """Seconds without a sign of life after which a worker is killed and replaced: one that hangs, or in which a
    plugin does not return. 0 means never, as is needed to stop a plugin in a debugger."""
    admin_socket: FilePath | None = None
    """Where commands such as `gateway reload` reach this gateway; without it, where they find the only one that you
    run."""
    explain_secret: Secret | None = None
    """A request whose header `x-gateway-explain` holds this gets the record of what was decided about it, as a
    header of the same name and in the log."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on the gateway's own log tells; requests are logged by the plugin `access-log`."""

    @model_validator(mode="after")
    def _check_addresses(self) -> Settings:
        for index, listener in enumerate(self.listeners):
            for other, earlier in enumerate(self.listeners[:index]):
                if listener.bind.excludes(earlier.bind):
                    is_same = listener.bind == earlier.bind
                    said = "the same as" if is_same else f"{listener.bind} cannot be bound beside {earlier.bind},"
                    raise ValueError(f"listeners[{index}].bind: {said} listeners[{other}].bind")
        return self

    @model_validator(mode="after")
    def _check_senders(self) -> Settings:
        for index, listener in enumerate(self.listeners):
            if listener.proxy_protocol and not self.trusted_proxies:
                raise ValueError(
                    f"listeners[{index}].proxy_protocol: name in trusted_proxies who may send the header"
                )
        return self

    @model_validator(mode="after")
    def _check_routes(self) -> Settings:
        check_routes(self.routes, self.upstreams)
        return self
