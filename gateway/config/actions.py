"""The settings of what becomes of a request that a route has taken, beside going to one upstream.

Owns names, types, and the mistakes that can be told at load. Does not do any of it (`gateway.routing.actions`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from gateway.config.templates import Part, parse_template
from gateway.config.types import Duration, Model, Size
from gateway.headers import checked_name, value_bytes

_IN_PATH = re.compile(r"[!$&'()*+,;=:@A-Za-z0-9._~/%{}-]*").fullmatch
_IN_LOCATION = re.compile(r"[\x21-\x7e]+").fullmatch
_STICKY = re.compile(r"source|(?:cookie|header|query):[^\s:]+").fullmatch
_NOT_OURS = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"))

REDIRECT_NAMES = frozenset(("host", "path", "query"))
"""What the target of a redirect may name beside what was captured."""


def _check_sticky(value: str) -> str:
    if value and not _STICKY(value):
        raise ValueError(f'expected "cookie:NAME", "header:NAME", "query:NAME" or "source", not {value!r}')
    return value


Sticky = Annotated[str, AfterValidator(_check_sticky)]
Weights = dict[str, Annotated[float, Field(ge=0, le=1_000_000)]]


class Rewrite(Model):
    """The path that endpoints see instead of the client's. The query stays, and so does what is not replaced."""

    prefix: str | None = None
    """Stands in the place of the matched prefix."""
    pattern: str | None = None
    """A path with the names of what was captured: `/u/{id}/o/{rest}`."""

    @field_validator("prefix", "pattern")
    @classmethod
    def _check_path(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith("/") and _IN_PATH(value)):
            raise ValueError(
                f'expected a path that begins with "/", percent-encoded and without a query, not {value!r}'
            )
        return value

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, value: str | None) -> str | None:
        if value is not None and "{" in value:
            raise ValueError(f"names belong into rewrite.pattern, not into a prefix such as {value!r}")
        return value

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            parse_template(value)
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> Rewrite:
        if (self.prefix is None) == (self.pattern is None):
            raise ValueError("give either prefix or pattern")
        return self


class Redirect(Model):
    """Send the client elsewhere."""

    to: str
    """`{host}` (without its port), `{path}`, `{query}` (with its question mark, or empty) and what was captured
    stand for those of the request."""
    status: Literal[301, 302, 303, 307, 308] = 308
    """307 and 308 keep the method, 301 and 308 are for good."""

    @field_validator("to")
    @classmethod
    def _check_target(cls, value: str) -> str:
        pieces = parse_template(value)
        if not value.startswith(("/", "http://", "https://", "{path}")) or value.startswith("//"):
            raise ValueError(f'a target begins with "/", "{{path}}", "http://" or "https://", not {value!r}')
        if not all(isinstance(piece, Part) or _IN_LOCATION(piece) for piece in pieces):
            raise ValueError(f"a target holds no blanks and only ASCII, percent-encoded where needed: {value!r}")
        return value

    def authority_names(self) -> set[str]:
        """The names that stand in the authority: whoever sets their values chooses where clients go."""
        names: set[str] = set()
        scheme, _, rest = self.to.partition("://")
        if scheme not in ("http", "https"):
            return names
        for piece in parse_template(rest):
            if isinstance(piece, str):
                if re.search("[/?#]", piece):
                    break
            elif piece.name in ("path", "query"):
                break
            else:
                names.add(piece.name)
        return names


class Respond(Model):
    """A fixed answer."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    """From 200 to 599."""
    body: str = ""
    """Its text; plain text, unless `headers` name another `content-type`."""
    headers: dict[str, str] = {}
    """By name."""

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            checked_name(name)
            value_bytes(content)
            if name.lower() in _NOT_OURS:
                raise ValueError(f"{name} is written by the gateway itself")
        return value

    @model_validator(mode="after")
    def _check_body(self) -> Respond:
        if self.body and self.status in (204, 304):
            raise ValueError(f"a response of status {self.status} has no body (RFC 9110 15.3.5, 15.4.5)")
        return self


def _named(value: object) -> object:
    return {"upstream": value} if isinstance(value, str) else value


def _to(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


class Mirror(Model):
    """Send a copy of the request to a second upstream. Its answer is dropped, and its failures are nobody's."""

    upstream: str
    """Who gets the copies."""
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of how many of the requests."""
    max_body: Size = 64 * 1024
    """A request with a larger body is not copied."""
    max_in_flight: Annotated[int, Field(gt=0)] = 64
    """Copies under way at once and per worker; further requests are not copied."""
    timeout: Duration = 10.0
    """Seconds that a copy may take in all."""


RedirectSetting = Annotated[Redirect | None, BeforeValidator(_to)]
MirrorSetting = Annotated[Mirror | None, BeforeValidator(_named)]
