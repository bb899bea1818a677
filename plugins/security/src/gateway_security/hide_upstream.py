"""The plugin `hide-upstream`: clients learn nothing of what stands behind the gateway.

Owns what is done to an upstream's response. Which fields tell too much is in `telling_fields`, what becomes of an
address in `public_address`. Responses that the gateway or a plugin made are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from gateway import Exchange, Headers, PluginConfig, Response, UpstreamError, error_response, hookimpl
from gateway_security.public_address import PublicAddress, may_name_host
from gateway_security.telling_fields import BUILT_IN, Fates

Rewrite: TypeAlias = Callable[[PublicAddress, bytes], bytes]

FRAMING = frozenset(("content-length", "connection", "transfer-encoding", "trailer", "upgrade"))

STAYS_WITH_A_PAGE = frozenset(
    (b"access-control-allow-credentials", b"access-control-allow-origin", b"access-control-expose-headers",
     b"allow", b"date", b"retry-after", b"server", b"set-cookie", b"vary", b"www-authenticate")
)  # fmt: skip
"""Of an upstream's error: what a client has to know that will ask again, and what does not speak of the page."""

_STATUS = re.compile(r"[45](?:[0-9]{2}|xx)").fullmatch
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?").fullmatch


def _field_name(text: str) -> str:
    name = text.removesuffix("*").lower()
    if not name:
        raise ValueError(f'expected a name, or the beginning of one such as "x-debug-*", not {text!r}')
    Headers().add(name, "")
    if name in FRAMING:
        raise ValueError(f"{name} is the gateway's own: it frames the message or speaks of this hop only")
    return text.lower()


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _statuses(text: str) -> str:
    if not _STATUS(text):
        raise ValueError(f'expected a status from 400 to 599, "4xx" or "5xx", not {text!r}')
    return text


def _address(text: str) -> str:
    if not _ADDRESS(text):
        raise ValueError(f'expected "HOST" or "HOST:PORT", not {text!r}')
    return text.lower()


def _server(text: str) -> str:
    Headers().add("server", text)
    if not text.strip():
        raise ValueError('expected a word such as "gateway": a response without one gets one of the server core')
    return text


class HideUpstream:
    """Take away what tells of the upstream, and lead the client to the address that it knows.

    Every response of an upstream is looked at, before any plugin stores it. Those of the gateway itself, and of
    plugins that answer in an upstream's stead, are none.
    """

    api = 1

    class Config(PluginConfig):
        """What is hidden, what is rewritten, and whose error pages are shown."""

        hide: tuple[Annotated[str, AfterValidator(_field_name)], ...] = ()
        """Fields to take away beside the built-in list: names, and beginnings such as `"x-acme-*"`."""
        keep: tuple[Annotated[str, AfterValidator(_field_name)], ...] = ()
        """Fields that stay although they are in that list: `["via"]`, `["x-envoy-*"]`, `["server"]`."""
        server: Annotated[str, AfterValidator(_server)] = "gateway"
        """What stands in Server in the place of the upstream's own word."""
        addresses: bool = True
        """Rewrite the endpoint's own address, and a path that the route has rewritten, in Location,
        Content-Location and Refresh."""
        cookies: bool = True
        """The same for Domain and Path of cookies."""
        also_own: tuple[Annotated[str, AfterValidator(_address)], ...] = ()
        """Further addresses that the application takes for its own: `["app.internal:8080"]`."""
        error_pages: tuple[Annotated[str, BeforeValidator(_as_text), AfterValidator(_statuses)], ...] = ()
        """Statuses for which the gateway's own page goes out in the place of the upstream's: `[500, 503]`,
        `["5xx"]`."""

    def __init__(self, config: Config) -> None:
        rewritten: dict[bytes, Rewrite] = {}
        if config.addresses:
            rewritten |= {b"location": PublicAddress.url, b"content-location": PublicAddress.url}
            rewritten[b"refresh"] = PublicAddress.refresh
        if config.cookies:
            rewritten[b"set-cookie"] = PublicAddress.cookie
        self._fates: Fates[Rewrite] = Fates((*BUILT_IN, *config.hide, "server"), config.keep, rewritten)
        self._server = [] if self._fates[b"server"] else [(b"server", config.server.encode("latin-1"))]
        self._also_own = frozenset(address.encode() for address in config.also_own)
        self._replaced = frozenset(status for text in config.error_pages for status in _meant(text))

    @hookimpl
    def on_upstream_response(self, exchange: Exchange, response: Response) -> None:
        """Hide what tells too much, and rewrite addresses."""
        # hot: reverse-proxy. One pass; most fields are kept as they are.
        if response.status in self._replaced:
            self._replace(exchange, response)
        fates = self._fates
        kept: list[tuple[bytes, bytes]] = []
        address: PublicAddress | None = None
        for field in response.headers.raw:
            fate = fates[field[0]]
            if fate is True or (fate and exchange.forwarded_path is None and not may_name_host(field[1])):
                kept.append(field)
            elif fate is not False:
                if address is None:
                    address = PublicAddress(exchange, self._also_own)
                kept.append((field[0], fate(address, field[1])))
        kept += self._server
        response.headers.raw = kept

    def _replace(self, exchange: Exchange, response: Response) -> None:
        """Put the gateway's page in the place of the upstream's, of which nobody reads the rest."""
        error = UpstreamError(f"the upstream's {response.status}")
        error.status = response.status
        page = error_response(exchange, error)
        if not isinstance(response.body, bytes) and exchange.open_body is not None:
            exchange.open_body.close()
        kept = [field for field in response.headers.raw if field[0] in STAYS_WITH_A_PAGE]
        names = {name for name, _ in kept}
        kept += [field for field in page.headers.raw if field[0] not in names]
        response.headers.raw, response.body = kept, page.body
        exchange.note("hide-upstream", f"showed a page of the gateway in the place of the {response.status}")


def _meant(text: str) -> range:
    """`503` is itself, `5xx` is all of them."""
    first = int(text.replace("x", "0"))
    return range(first, first + (100 if "x" in text else 1))
