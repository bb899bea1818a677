"""The plugin `security-headers`: fields that tell browsers to be careful, on every response.

Owns their defaults and the checks of their values. Strict-Transport-Security is not here: it goes with TLS.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from gateway import Exchange, Headers, PluginConfig, Response, hookimpl

REFERRER_POLICIES = (
    "no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "same-origin",
    "strict-origin", "strict-origin-when-cross-origin", "unsafe-url",
)  # fmt: skip

_BARE_KEYWORD = re.compile(
    r"(?<![^\s;])(?:self|none|unsafe-inline|unsafe-eval|unsafe-hashes|strict-dynamic|wasm-unsafe-eval|report-sample"
    r"|nonce-[A-Za-z0-9+/=_-]+|sha(?:256|384|512)-[A-Za-z0-9+/=_-]+)(?![^\s;])"
)
_DIRECTIVE = re.compile(r"[A-Za-z0-9-]+(?:\s|$)").match
_FEATURE = r'[a-z][a-z0-9-]*=(?:\*|self|"[^",]*"|\((?:[^()",]|"[^"]*")*\))'
_FEATURES = re.compile(rf"{_FEATURE}(?:\s*,\s*{_FEATURE})*").fullmatch


def _content_security_policy(text: str) -> str:
    text = _one_line(text)
    for directive in filter(None, map(str.strip, text.split(";"))):
        if not _DIRECTIVE(directive):
            raise ValueError(
                f"expected directives such as \"default-src 'self'\", with ; between, not {directive!r}"
            )
        if bare := _BARE_KEYWORD.search(directive):
            raise ValueError(f"{bare[0]} would be a host: write '{bare[0]}', with the quotes, in {directive!r}")
    return text


def _permissions_policy(text: str) -> str:
    text = _one_line(text)
    if text and not _FEATURES(text):
        raise ValueError(f'expected features such as "camera=(), geolocation=(self)", not {text!r}')
    return text


def _referrer_policy(text: str) -> str:
    text = _one_line(text)
    for policy in filter(None, (part.strip() for part in text.split(","))):
        if policy not in REFERRER_POLICIES:
            raise ValueError(f"expected one of {', '.join(REFERRER_POLICIES)}, not {policy!r}")
    return text


def _one_line(text: str) -> str:
    """A value may be written over several lines; as a field it is one. Raises ValueError if it cannot be."""
    line = " ".join(text.split())
    if not line.isascii():
        raise ValueError(f"only ASCII can stand in this header; a host is written in punycode: {text!r}")
    Headers().add("x", line)
    return line


class SecurityHeaders:
    """Tell browsers to be careful: not to guess types, not to show pages in other sites' frames, and so on.

    Every response is told of, those of the gateway included. A field that the application has set stays as it is.
    """

    api = 1

    class Config(PluginConfig):
        """A setting for each field; an empty one leaves its field out."""

        content_type_options: Literal["", "nosniff"] = "nosniff"
        """X-Content-Type-Options: no script or style that is not declared to be one."""
        frame_options: Literal["", "DENY", "SAMEORIGIN"] = "SAMEORIGIN"
        """X-Frame-Options: who may show pages in a frame. For a list of sites there is `frame-ancestors` in a
        Content-Security-Policy, which browsers prefer."""
        referrer_policy: Annotated[str, AfterValidator(_referrer_policy)] = "strict-origin-when-cross-origin"
        """Referrer-Policy: how much other sites learn of the page that a visitor comes from."""
        content_security_policy: Annotated[str, AfterValidator(_content_security_policy)] = ""
        """Content-Security-Policy: from where a page may load what. Nobody but the application's author knows."""
        content_security_policy_report_only: Annotated[str, AfterValidator(_content_security_policy)] = ""
        """Content-Security-Policy-Report-Only: a policy that is only tried."""
        permissions_policy: Annotated[str, AfterValidator(_permissions_policy)] = ""
        """Permissions-Policy: what pages and their frames may use, such as `camera=(), geolocation=(self)`."""
        cross_origin_opener_policy: Literal[
            "", "same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"
        ] = ""
        """Cross-Origin-Opener-Policy: whether a page shares its window's group with those of other origins."""
        cross_origin_embedder_policy: Literal["", "require-corp", "credentialless", "unsafe-none"] = ""
        """Cross-Origin-Embedder-Policy: what a page may embed of other origins."""
        cross_origin_resource_policy: Literal["", "same-origin", "same-site", "cross-origin"] = ""
        """Cross-Origin-Resource-Policy: who may embed these responses."""
        override: bool = False
        """Whether these stand in the place of what the application has set."""

    def __init__(self, config: Config) -> None:
        values = {
            "x-content-type-options": config.content_type_options,
            "x-frame-options": config.frame_options,
            "referrer-policy": config.referrer_policy,
            "content-security-policy": config.content_security_policy,
            "content-security-policy-report-only": config.content_security_policy_report_only,
            "permissions-policy": config.permissions_policy,
            "cross-origin-opener-policy": config.cross_origin_opener_policy,
            "cross-origin-embedder-policy": config.cross_origin_embedder_policy,
            "cross-origin-resource-policy": config.cross_origin_resource_policy,
        }
        self._fields = [(name.encode(), value.encode()) for name, value in values.items() if value]
        self._names = frozenset(name for name, _ in self._fields)
        self._overrides = config.override
        # Takes the hook away: even one that does nothing costs each exchange.
        if not self._fields:
            self.on_response = None  # type: ignore[assignment,method-assign]

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Add what the application has not said itself."""
        # hot: reverse-proxy
        raw = response.headers.raw
        there = dict(raw)
        if self._names.isdisjoint(there):
            raw += self._fields
        elif self._overrides:
            names = self._names
            response.headers.raw = [field for field in raw if field[0] not in names] + self._fields
        else:
            raw += [field for field in self._fields if field[0] not in there]
