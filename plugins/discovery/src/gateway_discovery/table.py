"""The table `discovery` of an upstream: where its endpoints are looked up.

Owns names and checks. Looks nothing up by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator, model_validator

from gateway import Duration, EndpointSettings, FilePath, PluginConfig
from gateway_discovery.file import read_endpoints
from gateway_discovery.lookup import NotFound

_NAME_AND_PORT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?:[0-9]{1,5}").fullmatch
_SERVICE = re.compile(r"_[A-Za-z0-9-]+\._(?:tcp|udp)\.[A-Za-z0-9._-]+").fullmatch


class Table(PluginConfig):
    """Where the endpoints come from: one of `dns`, `srv` and `file`."""

    dns: str = ""
    """`app.internal:8000`: each address of the name is an endpoint, A and AAAA. A name of `/etc/hosts` has the
    addresses there, unless the plugin has `resolvers` of its own."""
    srv: str = ""
    """`_http._tcp.app.internal`: hosts, ports, priorities and weights of the SRV records (RFC 2782)."""
    file: FilePath | None = None
    """A TOML or JSON file with a list `endpoints`, written as in a site file; it is read when it changes."""
    scheme: Literal["http", "https"] = "http"
    """How endpoints that DNS has found are spoken to."""
    interval: Duration = 1.0
    """How often the file is looked at."""

    @property
    def is_wanted(self) -> bool:
        """Whether anything is to be looked up."""
        return bool(self.dns or self.srv or self.file)

    @field_validator("dns")
    @classmethod
    def _check_dns(cls, value: str) -> str:
        port = value.rpartition(":")[2]
        if value and not (_NAME_AND_PORT(value) and 0 < int(port) <= 65535):
            raise ValueError(f'expected a name and a port such as "app.internal:8000", not {value!r}')
        return value

    @field_validator("srv")
    @classmethod
    def _check_srv(cls, value: str) -> str:
        if value and not _SERVICE(value):
            raise ValueError(f'expected a service such as "_http._tcp.app.internal", not {value!r}')
        return value

    @model_validator(mode="after")
    def _check_one(self) -> Table:
        named = [name for name in ("dns", "srv", "file") if getattr(self, name)]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} say the same thing twice: keep one of them")
        return self

    def endpoints_at_hand(self) -> Sequence[EndpointSettings] | None:
        """For `gateway explain`, which asks nobody: what stands in the file; None for what only a lookup tells.

        Raises ValueError that says what is wrong with the file.
        """
        if self.file is None:
            return None
        try:
            return read_endpoints(self.file)
        except NotFound as error:
            raise ValueError(str(error)) from None
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None

    def __str__(self) -> str:
        return str(self.dns or self.srv or self.file)
