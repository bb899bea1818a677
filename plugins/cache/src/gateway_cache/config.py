"""The settings of the plugin `cache`."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from gateway import Duration, FilePath, Headers, KeyPrefix, PluginConfig, Secret, Size


def _field_name(name: str) -> str:
    Headers().add(name, "")
    return name.lower()


def _expression(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_expression)]
FieldName = Annotated[str, AfterValidator(_field_name)]


class Config(PluginConfig):
    """What is stored, how long, and what counts as the same request."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*$")] = "gateway"
    """What this cache is called in the field Cache-Status (RFC 9211)."""
    memory: Size = 64 * 1024 * 1024
    """Bytes of responses that each worker holds; those that were not asked for the longest time go first."""
    disk: FilePath | None = None
    """A folder for what is stored beside that: all workers share it, and it is there after a restart."""
    disk_size: Size = 1024 * 1024 * 1024
    """Bytes of responses in that folder; the oldest go first."""
    redis: Secret | None = None
    """Redis or Valkey for the same purpose, in place of `disk`, shared by the gateways of several machines:
    `redis://HOST:PORT/DATABASE`, `rediss://…` (TLS) or `unix:///run/redis.sock`."""
    redis_prefix: KeyPrefix = "gateway:cache:"
    """What its keys begin with. Gateways that have it in common share what is stored."""
    redis_timeout: Annotated[Duration, Field(gt=0)] = 0.25
    """The longest that a request waits for Redis; then the origin is asked."""
    max_entry: Size = 4 * 1024 * 1024
    """The longest body that is stored in memory."""
    max_file: Size = 256 * 1024 * 1024
    """With `disk`: the longest body that is stored, up to half of `disk_size`. Those longer than `max_entry` have
    files of their own there, and are sent from them."""
    targets: tuple[FieldName, ...] = ("cdn-cache-control",)
    """Targeted fields (RFC 9213), the most specific first: the first that is there and well-formed counts in the
    place of Cache-Control and Expires. They are passed on."""
    heuristic_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Without a word on freshness a response is fresh for this share of the time since its Last-Modified; 0 for
    never."""
    heuristic_max: Duration = 24 * 3600.0
    """And no longer than this."""
    stale_while_revalidate: Duration = 0.0
    """For responses that say nothing of it: so long after a response became stale it is served while a fresh one is
    fetched."""
    stale_if_error: Duration = 24 * 3600.0
    """For responses that say how long they are fresh, but nothing of this, and do not forbid it: so long after one
    became stale it is served if no endpoint can be reached, or the endpoint answers 500, 502, 503 or 504. 0 for
    never."""
    set_cookie: Literal["refuse", "store"] = "refuse"
    """What to do with responses that set a cookie: they are hardly ever meant for everybody."""
    ignore_query: tuple[str, ...] = ()
    """Parameters of the query that do not tell one response from another, such as `utm_*`; `*` for all of them."""
    sort_query: bool = False
    """Whether the order of the query's parameters does not matter."""
    device_classes: dict[str, Pattern] = {}
    """Kinds of devices for which the origin answers differently: a name, and a regular expression to be found in
    User-Agent, as in `{ mobile = "Mobi|Android" }`. The first that is found counts. Each kind has stored responses
    of its own, and so have all other clients together; `Vary: User-Agent` then makes no further difference."""
    bypass_cookies: tuple[str, ...] = ()
    """Requests with one of these cookies neither get a stored response nor leave one; `session*` for all that begin
    so."""
    collapse: bool = True
    """Let requests for something that is being fetched already wait for that."""
    purge_secret: Secret | None = None
    """With this, `PURGE` requests that bring it (`Authorization: Bearer …`) make all workers forget what is stored
    of their URL, of all that begins with it (`PURGE /blog/*`), or of the tags in their Surrogate-Key or
    Cache-Tag."""
    negative_ttl: Duration = 0.0
    """How long a 404 or 410 that says nothing of its freshness is fresh. 0 leaves it to the heuristic."""

    @field_validator("redis")
    @classmethod
    def _check_redis(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value() if value is not None else "redis://127.0.0.1")
        try:
            is_there = bool(parts.path if parts.scheme == "unix" else parts.port or parts.hostname)
        except ValueError:
            is_there = False
        if parts.scheme not in ("redis", "rediss", "unix") or not is_there:
            raise ValueError('expected a URL such as "redis://127.0.0.1:6379"')
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Config:
        if self.disk is not None and self.redis is not None:
            raise ValueError("disk and redis: only one of them can stand beside the memory")
        return self

    @property
    def longest(self) -> int:
        """The longest body that is stored."""
        if self.disk is None:
            return self.max_entry
        return max(self.max_entry, min(self.max_file, self.disk_size // 2))


__all__ = ["Config"]
