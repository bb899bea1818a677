"""The settings of `rate-limit`, and which of them belong together.

Owns names, defaults and their checks. Does not act on anything.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway import Duration, KeyPrefix, Network, PluginConfig, Secret
from gateway_security.client_keys import KeyParts
from gateway_security.gcra import Limit, parse_rate

MOST_LIMITS = 8
MOST_DELAY_SECONDS = 60.0


def _named(value: object) -> object:
    return {"use": value} if isinstance(value, str) else value


def _check_rate(value: str) -> str:
    parse_rate(value)
    return value


def _check_name(value: str) -> str:
    if not value.isascii() or not value.isprintable() or '"' in value or "\\" in value or len(value) > 64:
        raise ValueError("expected up to 64 printable ASCII characters without quotation marks and backslashes")
    return value


Burst = Annotated[int, Field(ge=1, le=1_000_000_000)]
Delay = Annotated[Duration, Field(le=MOST_DELAY_SECONDS)]


class OneLimit(PluginConfig):
    """A further limit."""

    rate: str
    """How many in how long: `"100/s"`, `"30/m"`, `"1000/h"`, `"5000/d"`."""
    burst: Burst | None = None
    """How many may come at once after a pause; without, as many as `rate` names."""
    key: KeyParts = ("client",)
    """Whose requests count together; see the forms above."""
    delay: Delay = 0.0
    """Requests that come too early are held back up to so long, and refused beyond."""
    name: str = ""
    """What it is called in the log and in the fields RateLimit and RateLimit-Policy; without, after `key` and
    `rate`."""

    _rate = field_validator("rate")(_check_rate)
    _name = field_validator("name")(_check_name)

    @property
    def limit(self) -> Limit:
        """For counting."""
        return Limit.of(self.rate, self.burst, self.delay)

    @property
    def label(self) -> str:
        """For people and clients."""
        return self.name or f"{' '.join(self.key)} {self.rate}".replace('"', "")

    @property
    def meaning(self) -> str:
        """What makes it another limit, whose counts begin anew."""
        return f"{self.name} {self.key} {self.limit.interval} {self.limit.tolerance}"


class RateStore(PluginConfig):
    """Where it stands what each client has used."""

    use: Literal["memory", "redis"] = "memory"
    """`memory`: memory that the workers of this gateway share. `redis` (or Valkey): shared by several gateways."""
    url: Secret | None = None
    """`redis://HOST:PORT/DATABASE`, `rediss://…` (TLS) or `unix:///run/redis.sock`."""
    timeout: Annotated[Duration, Field(gt=0)] = 0.1
    """The longest that a request waits for the store."""
    pause: Annotated[Duration, Field(gt=0)] = 1.0
    """After a failure the store is left alone for so long."""
    away: Literal["local", "open", "closed"] = "local"
    """What holds while the store does not answer: `local`, the same limits for this gateway by itself; `open`,
    none; `closed`, every request that a limit is for gets 503."""
    prefix: KeyPrefix = "gateway:rate:"
    """What its keys begin with. Gateways that have it, and a limit, in common share what is counted."""

    @model_validator(mode="after")
    def _check_url(self) -> RateStore:
        if self.use == "memory":
            return self
        parts = urlsplit(self.url.get_secret_value() if self.url else "")
        try:
            is_there = bool(parts.port or parts.hostname or len(parts.path) > 1)
        except ValueError:
            is_there = False
        if parts.scheme not in ("redis", "rediss", "unix") or not is_there:
            raise ValueError('url: the store "redis" wants one such as "redis://127.0.0.1:6379"')
        return self


class RateSettings(PluginConfig):
    """One limit, and further ones. A request has to keep them all; one that is refused is charged to none."""

    rate: str = ""
    """How many in how long: `"100/s"`, `"30/m"`, `"1000/h"`, `"5000/d"`. Empty for no limit but those of
    `limits`."""
    burst: Burst | None = None
    """How many may come at once after a pause; without, as many as `rate` names."""
    key: KeyParts = ("client",)
    """Whose requests count together; see the forms above."""
    delay: Delay = 0.0
    """Requests that come too early are held back up to so long, and refused beyond; up to a minute."""
    name: str = ""
    """What it is called in the log and in the fields RateLimit and RateLimit-Policy; without, after `key` and
    `rate`."""
    limits: tuple[OneLimit, ...] = ()
    """Further limits, each with a `rate` of its own; up to seven."""
    status: Annotated[int, Field(ge=400, le=599)] = 429
    """What a client gets that is refused."""
    fields: Literal["refused", "all", "none"] = "refused"
    """Which responses say how much is left (RateLimit and RateLimit-Policy): those to refused requests, or all."""
    exempt_networks: tuple[Network, ...] = ()
    """Clients that no limit is for."""
    exempt_methods: tuple[str, ...] = ()
    """Methods that no limit is for, such as `OPTIONS`."""
    ipv4_prefix: Annotated[int, Field(ge=1, le=32)] = 32
    """Clients whose addresses share so many bits are one."""
    ipv6_prefix: Annotated[int, Field(ge=1, le=128)] = 64
    """The same for IPv6, where one client usually has a /64."""
    clients: Annotated[int, Field(ge=16, le=10_000_000)] = 50_000
    """How many keys there is room for in memory, 48 to 96 bytes each. Beyond, some are forgotten before their
    time."""
    store: Annotated[RateStore, BeforeValidator(_named)] = RateStore()
    """A store by its name, or a table with `use` and its settings."""

    @field_validator("rate")
    @classmethod
    def _check_rate(cls, value: str) -> str:
        return _check_rate(value) if value else value

    _name = field_validator("name")(_check_name)

    @model_validator(mode="after")
    def _check_together(self) -> RateSettings:
        if not self.rate and (self.burst is not None or self.delay or self.name):
            raise ValueError('rate: is missing beside burst, delay or name; expected one such as "100/s"')
        every = self.every
        if len(every) > MOST_LIMITS:
            raise ValueError(f"limits: expected up to {MOST_LIMITS} limits in all, not {len(every)}")
        labels = [each.label for each in every]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"limits: two are called {label!r}; give them a name each")
        return self

    @property
    def every(self) -> tuple[OneLimit, ...]:
        """All limits, the plugin's own first."""
        if not self.rate:
            return self.limits
        own = OneLimit(rate=self.rate, burst=self.burst, key=self.key, delay=self.delay, name=self.name)
        return (own, *self.limits)

    @property
    def meaning(self) -> str:
        """What makes other limits of these, whose counts begin anew."""
        return f"{[each.meaning for each in self.every]} {self.ipv4_prefix} {self.ipv6_prefix}"


__all__ = ["OneLimit", "RateSettings", "RateStore"]
