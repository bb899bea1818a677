"""Request headers that only the gateway may set: what a client sends under their names never reaches an upstream.

Owns which names mean the same to somebody behind, and the ways to lose or forge such a header. Does not know what
is in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from gateway import Headers, folded_name

_CONNECTION = b"connection"
_HARMLESS = frozenset((b"keep-alive", b"Keep-Alive", b"close", b"Upgrade", b"upgrade"))

_THE_GATEWAYS = frozenset(
    (
        "connection", "content-length", "cookie", "expect", "forwarded", "host", "http2-settings", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
    )
)  # fmt: skip


def check_own_header(name: str) -> str:
    """The name in lower case. Raises ValueError for one that a plugin cannot have for itself."""
    Headers().add(name, "")
    if name.lower() in _THE_GATEWAYS:
        raise ValueError(f'{name!r} is set by the gateway or the client; take a header such as "x-auth-user"')
    return name.lower()


OwnHeader = Annotated[str, AfterValidator(check_own_header)]
"""The name of a header that the plugin sets for the upstream."""


class OwnHeaders:
    """Names that are taken away from every request before they are set."""

    __slots__ = ("_folded", "_lengths", "is_empty")

    def __init__(self, names: Iterable[str]) -> None:
        own = {folded_name(name.encode()) for name in names}
        self.is_empty = not own
        self._folded = frozenset(own)
        self._lengths = frozenset(map(len, own | {_CONNECTION})) if own else frozenset()

    def clear(self, headers: Headers) -> None:
        """Take away what the client sent under these names, and let its `Connection` name none of them.

        A field that `Connection` names ends at this hop (RFC 9110 7.6.1): a client could take our header away so.
        """
        # hot: one look at the length of each name
        lengths = self._lengths
        for name, value in headers.raw:
            if len(name) in lengths and (
                value not in _HARMLESS if name == _CONNECTION else folded_name(name) in self._folded
            ):
                self._clear(headers)
                return

    def _clear(self, headers: Headers) -> None:
        kept = []
        for name, value in headers.raw:
            if name == _CONNECTION:
                value = b",".join(word for word in value.split(b",") if not self._has(word.strip()))
                if not value.strip():
                    continue
            elif self._has(name):
                continue
            kept.append((name, value))
        headers.raw[:] = kept

    def _has(self, name: bytes) -> bool:
        return folded_name(name) in self._folded

    def __repr__(self) -> str:
        return f"<OwnHeaders {b', '.join(sorted(self._folded)).decode()}>"
