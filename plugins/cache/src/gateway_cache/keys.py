"""What counts as the same URL: scheme, host, path and query in their normal form.

Pure functions, compiled once from the settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import blake2b
from string import punctuation
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from gateway import Exchange

DIGEST_BYTES = 16
NO_DEVICES: Mapping[str, str] = {}
_PORTS = {b"http": b":80", b"https": b":443"}


class Keys:
    """What brings URLs into their normal form. A path stays byte for byte: what two of them have in common is the
    origin's affair."""

    def __init__(
        self, ignored: Sequence[str] = (), devices: Mapping[str, str] = NO_DEVICES, *, is_sorted: bool = False
    ) -> None:
        """`ignored` are patterns of parameters that do not count, `devices` expressions for User-Agent by name."""
        self._normal = _query_function(tuple(ignored), is_sorted) if ignored or is_sorted else None
        self._device = _device_function(devices) if devices else None
        self.devices = (b"", *(b" " + name.encode() for name in devices))
        """What may stand behind a URL: no URL has a space."""

    def of(self, scheme: str, host: bytes, path: bytes, query: bytes) -> bytes:
        """The key of a URL in its parts, with the Host as it came."""
        # hot: cache-hit
        origin = _origin(scheme, host)
        if query and self._normal is not None:
            query = self._normal(query)
        return b"%b%b?%b" % (origin, path, query) if query else origin + path

    def for_device(self, exchange: Exchange, names: Mapping[bytes, bytes]) -> bytes:
        """The same as `of_exchange`, for the client's kind of device alone."""
        # hot: cache-hit
        url = self.of_exchange(exchange, names)
        return url if self._device is None else url + self._device(names.get(b"user-agent", b""))

    def of_exchange(self, exchange: Exchange, names: Mapping[bytes, bytes]) -> bytes:
        """The key of what an exchange asks for; `names` are its request's fields.

        Trusted proxies say how the client has asked them, and the origin goes by that, too.
        """
        # hot: cache-hit
        request, app = exchange.request, exchange.app
        scheme, host = request.scheme, names.get(b"host", b"")
        if app.has_trusted_proxies and app.is_trusted(request):
            given = names.get(b"x-forwarded-proto", b"").strip().lower()
            scheme = given.decode("latin-1") if given in (b"http", b"https") else scheme
            host = names.get(b"x-forwarded-host", host)
        return self.of(scheme, host, request.raw_path, request.query)

    def of_text(self, url: str) -> bytes:
        """The key of a URL that a person wrote. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"expected a URL such as https://example.com/path, not {url!r}")
        host, path, query = (_encoded(part) for part in (parts.netloc, parts.path or "/", parts.query))
        return self.of(parts.scheme, host, path, query)

    def of_reference(self, url: bytes, reference: bytes) -> bytes | None:
        """The key of what a response to `url` refers to, if it is of the same origin (RFC 9111 4.4)."""
        try:
            text = reference.decode("utf-8", "surrogateescape").strip()
            key = self.of_text(urljoin(url.decode("latin-1"), text))
        except ValueError:
            return None
        return key if key.split(b"/", 3)[:3] == url.split(b"/", 3)[:3] else None


def digest(url: bytes) -> bytes:
    """What stands for a URL where it would be too long."""
    return blake2b(url, digest_size=DIGEST_BYTES).digest()


def _encoded(part: str) -> bytes:
    """As clients send it: what may not stand in a URL in percent-encoding."""
    return quote(part, safe=punctuation, errors="surrogateescape").encode("ascii")


@lru_cache(1024)
def _origin(scheme: str, host: bytes) -> bytes:
    name = b"https" if scheme in ("https", "wss") else b"http"
    return name + b"://" + host.lower().removesuffix(_PORTS[name])


def _query_function(ignored: tuple[str, ...], is_sorted: bool) -> Callable[[bytes], bytes]:
    @lru_cache(1024)
    def normal(query: bytes) -> bytes:
        pairs = [pair for pair in query.split(b"&") if pair and not _is_ignored(pair, ignored)]
        return b"&".join(sorted(pairs) if is_sorted else pairs)

    return normal


def _device_function(devices: Mapping[str, str]) -> Callable[[bytes], bytes]:
    expressions = [(b" " + name.encode(), re.compile(text.encode())) for name, text in devices.items()]

    @lru_cache(1024)
    def device(agent: bytes) -> bytes:
        return next((name for name, expression in expressions if expression.search(agent)), b"")

    return device


def _is_ignored(pair: bytes, patterns: tuple[str, ...]) -> bool:
    name = unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")).decode("utf-8", "replace")
    return any(fnmatchcase(name, pattern) for pattern in patterns)


__all__ = ["DIGEST_BYTES", "Keys", "digest"]
