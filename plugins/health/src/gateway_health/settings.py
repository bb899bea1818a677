"""What can be set about the health of endpoints, for all upstreams or for one.

Owns names, defaults and what goes together. Does not check endpoints.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway import Duration, Headers, PluginConfig
from gateway_health.statuses import Statuses

Kind = Literal["none", "http", "tcp", "tls", "grpc"]
"""How endpoints are asked."""

_PATH = re.compile(r"/[!-~]*").fullmatch
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?").fullmatch
_METHOD = re.compile(r"[A-Z]{1,20}").fullmatch


def _pattern(value: str) -> str:
    try:
        re.compile(value.encode())
    except re.error as error:
        raise ValueError(f"expected a regular expression, not {value!r}: {error}") from None
    return value


class Passive(PluginConfig):
    """What is learnt from the exchanges themselves, and for how long an endpoint that fails is ejected."""

    on: tuple[Literal["connect", "timeout", "closed", "invalid", "cut"], ...] = (
        "connect", "timeout", "closed", "invalid", "cut",
    )  # fmt: skip
    """What counts as a failure: no connection; no response in time; closed without a response; what is no HTTP; a
    response that was cut. Never what a client did, and never a kept connection that was closed meanwhile."""
    status: Statuses = "502-504"
    """Statuses that count as a failure, too; empty for none."""
    failures: Annotated[int, Field(ge=0)] = 5
    """So many failures in a row, as one worker sees it, eject an endpoint. 0 means that they do not."""
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.5
    """This share of failures within `window` ejects an endpoint, too. 0 means that it does not."""
    min_requests: Annotated[int, Field(ge=1)] = 20
    """The share counts only from so many requests on."""
    window: Annotated[Duration, Field(gt=0)] = 10.0
    """How long failures are counted together. Begins with the first of them."""
    ejection: Annotated[Duration, Field(gt=0)] = 10.0
    """How long an ejected endpoint stays out the first time; twice as long the second time, and so on. Each such
    time in service without an ejection takes one off again."""
    max_ejection: Annotated[Duration, Field(gt=0)] = 300.0
    """It never stays out for longer."""
    max_ejected: Annotated[float, Field(gt=0, le=1)] = 0.5
    """No more than this share of an upstream's endpoints is out at a time (but one of two may be), and never the
    last that is up."""

    @property
    def is_on(self) -> bool:
        """Whether there is anything to look for."""
        return bool((self.failures or self.error_rate) and (self.on or self.status))


class Settings(PluginConfig):
    """How endpoints are checked, and what is learnt from exchanges. All of it may differ by upstream."""

    check: Literal["auto", "none", "http", "tcp", "tls", "grpc"] = "auto"
    """How endpoints are asked: by an HTTP request, by opening a connection, by a TLS handshake, by the gRPC health
    checking protocol, or not at all. `auto` means `http` if there is a `path`, otherwise `none`."""
    path: str = ""
    """Path and query of the HTTP request; empty means `/`."""
    method: str = "GET"
    """The method of the HTTP request."""
    host: str = ""
    """Host of the HTTP request; empty means the upstream's own `host` if it names one, otherwise the endpoint's."""
    headers: dict[str, str] = {}
    """More headers of the HTTP request."""
    status: Statuses = "200-399"
    """The statuses of an endpoint that is well."""
    body: Annotated[str, AfterValidator(_pattern)] = ""
    """A regular expression that must be found in the first 64 KiB of the response's body; empty means any body."""
    service: str = ""
    """The service that gRPC is asked about; empty means the whole server."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The port to ask; 0 means the endpoint's own."""
    interval: Annotated[Duration, Field(gt=0)] = 5.0
    """From the beginning of one check of an endpoint to that of the next."""
    interval_down: Duration = 0.0
    """The same while the endpoint is down; 0 means as `interval`."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of the interval by which each one is longer or shorter, at random."""
    timeout: Annotated[Duration, Field(gt=0)] = 2.0
    """How long a check may take in all."""
    fall: Annotated[int, Field(ge=1)] = 3
    """So many failed checks in a row take an endpoint down."""
    rise: Annotated[int, Field(ge=1)] = 2
    """So many passed checks in a row bring it back."""
    max_concurrent: Annotated[int, Field(ge=1)] = 64
    """Checks of an upstream that may be under way at once."""
    passive: Passive = Passive()
    """What is learnt from the exchanges themselves."""

    @property
    def kind(self) -> Kind:
        """How endpoints are asked."""
        if self.check == "auto":
            return "http" if self.path else "none"
        return self.check

    @field_validator("path")
    @classmethod
    def _check_path(cls, value: str) -> str:
        if value and not _PATH(value):
            raise ValueError(f'expected a path such as "/healthz", without blanks, not {value!r}')
        return value

    @field_validator("method")
    @classmethod
    def _check_method(cls, value: str) -> str:
        if not _METHOD(value) or value == "CONNECT":
            raise ValueError(f'expected a method such as "GET" or "HEAD", not {value!r}')
        return value

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if value and not _HOST(value):
            raise ValueError(f'expected a host such as "app.internal:8080", not {value!r}')
        return value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            Headers().add(name, text)
            if name.lower() in ("host", "connection", "content-length", "transfer-encoding"):
                raise ValueError(f"{name} is the gateway's own; host is set as `host`, the others cannot be")
        return value

    @field_validator("status")
    @classmethod
    def _check_status(cls, value: str) -> str:
        if not value.strip():
            raise ValueError('expected statuses such as "200-299,401": without any, no check could pass')
        return value

    @model_validator(mode="after")
    def _check_body(self) -> Settings:
        if self.body and self.method == "HEAD":
            raise ValueError("a response to HEAD has no body: leave out body, or choose another method")
        return self
