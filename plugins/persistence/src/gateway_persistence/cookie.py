"""The method `cookie`: a signed cookie that the gateway sets says which endpoint the session has.

Owns the cookie, its attributes and when it is set anew. Keeps no state of sessions: any worker, and any gateway
with the same secret, can read what another has written.

The value is 56 hexadecimal digits: 16 of the endpoint's opaque id, 8 of the second in which it was made, 32 of the
seal over both. An id is of one upstream, so that a cookie says nothing to another one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from hashlib import blake2b

from gateway import App, Endpoint, Exchange, Response, StateKey, Upstream, hookimpl
from gateway_persistence.cookie_fields import Fields, take_cookies
from gateway_persistence.endpoint_ids import EndpointIds, IdTable
from gateway_persistence.keys import ID_CHARACTERS, SEAL_CHARACTERS, Key, KeyRing
from gateway_persistence.plugin import Persistence, is_moved, served_by
from gateway_persistence.settings import Settings

PAYLOAD_CHARACTERS = ID_CHARACTERS + 8
VALUE_CHARACTERS = PAYLOAD_CHARACTERS + SEAL_CHARACTERS
DEFAULT_PREFIX = b"gw-"
MAX_GENUINE = 16_384
"""Values that are known to be ours, so that the seal of a busy session is not computed again and again."""
MAX_KNOWN = 4_096
"""Whole Cookie fields that are known, so that those of a busy session are not read again and again."""
MAX_KNOWN_BYTES = 2_048


class Sent:
    """Cookies of ours as a client sent them, and what they say: read once for all requests that bring the same."""

    __slots__ = ("cookies", "endpoint", "is_fresh", "rest", "table", "text", "until")

    def __init__(self, cookies: list[tuple[bytes, bytes]], text: bytes = b"", rest: bytes = b"") -> None:
        self.cookies = cookies
        self.text = text
        """The Cookie field that they came in; empty if they came in several."""
        self.rest = (b"cookie", rest) if rest else None
        """What that field is without them."""
        self.table: IdTable | None = None
        """The endpoints and keys by which the following was found; None before that."""
        self.until = math.inf
        """When it has to be found anew, in seconds since the epoch."""
        self.endpoint: Endpoint | None = None
        self.is_fresh = False
        """Whether the client need not get a new one for the same endpoint."""


class CookieSessions(Persistence, kinds=("cookie",)):
    """Bind a session to an endpoint by a cookie of our own."""

    def __init__(self, config: Settings, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._name = config.name.encode()
        self._ttl = config.ttl
        self._secure = config.secure
        self._tail = _attributes(config)
        self._ring = KeyRing(config.secrets)
        self._ids = EndpointIds(self._ring)
        self._names: dict[str, bytes] = {}
        self._own: frozenset[bytes] = frozenset()
        self._mark = self._name or DEFAULT_PREFIX
        """What the names of ours contain."""
        self._genuine: dict[bytes, Key] = {}
        self._known: dict[bytes, Sent] = {}
        self._state: StateKey[Sent] = StateKey("persistence")

    @hookimpl
    def startup(self, app: App) -> None:
        """Know the cookie of every upstream, and share a random secret if none is set."""
        self._names = {name: self._name or default_name(name) for name in app.upstreams}
        self._own = frozenset(self._names.values())
        self._ring.open(app)

    @hookimpl
    def shutdown(self, app: App) -> None:
        """No longer listen for the secret."""
        self._ring.close()

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Take our cookies out of what goes upstream."""
        # hot: l7-balancer
        mark, first, is_single = self._mark, -1, True
        fields = exchange.request.headers.raw
        for place, (name, value) in enumerate(fields):
            if name == b"cookie" and mark in value:
                if first >= 0:
                    is_single = False
                    break
                first, text = place, value
        if first < 0:
            return
        known = self._known.get(text) if is_single else None
        if known is None:
            known = self._take(fields, first, is_single)
        elif known.rest is None:
            del fields[first]
        else:
            fields[first] = known.rest
        if known is not None:
            exchange[self._state] = known

    def _take(self, fields: Fields, first: int, is_single: bool) -> Sent | None:
        count, text = len(fields), fields[first][1]
        cookies = take_cookies(fields, self._mark, self._own, first)
        if not cookies:
            return None
        if not is_single:
            return Sent(cookies)
        return Sent(cookies, text, fields[first][1] if len(fields) == count else b"")

    def bound(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint of the cookie that belongs to the exchange's upstream."""
        # hot: l7-balancer
        sent = exchange.get(self._state)
        if sent is None:
            return None
        table = self._ids.of(exchange.upstream)
        if sent.table is not table or self._clock() >= sent.until:
            self._read(sent, table)
        return sent.endpoint

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Set the cookie if the session is new or has moved, or its cookie comes of age."""
        # hot: l7-balancer
        endpoint = served_by(exchange)
        if endpoint is None:
            return
        bound = self.bound(exchange)
        if bound is not None:
            is_fresh = exchange[self._state].is_fresh
            if bound is endpoint and is_fresh:
                return
            if not is_moved(exchange, bound, endpoint):
                if is_fresh:
                    return
                endpoint = bound
        made = self._made(exchange.upstream, endpoint)
        if made is not None:
            is_secure = self._secure == "always" or (
                self._secure == "auto" and exchange.request.scheme in ("https", "wss")
            )
            response.headers.raw.append((b"set-cookie", made + self._tail + (b"; Secure" if is_secure else b"")))

    def _read(self, sent: Sent, table: IdTable) -> None:
        """Find the first cookie that is of this table's upstream, genuine and not too old."""
        sent.table, sent.until = table, math.inf
        sent.endpoint, sent.is_fresh = None, False
        wanted = self._names.get(table.upstream)
        for name, value in sent.cookies:
            if name != wanted or len(value) != VALUE_CHARACTERS:
                continue
            known = table.by_id.get(value[:ID_CHARACTERS])
            if known is None or not self._is_genuine(value, known[1]):
                continue
            made, now = int(value[ID_CHARACTERS:PAYLOAD_CHARACTERS], 16), self._clock()
            if self._ttl and now > made + self._ttl:
                continue
            is_young = not self._ttl or now < made + self._ttl / 2
            if self._ttl:
                sent.until = made + (self._ttl / 2 if is_young else self._ttl)
            sent.endpoint, sent.is_fresh = known[0], is_young and known[1] is table.keys[0]
            self._remember(sent)
            return

    def _remember(self, sent: Sent) -> None:
        if 0 < len(sent.text) <= MAX_KNOWN_BYTES:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[sent.text] = sent

    def _is_genuine(self, value: bytes, key: Key) -> bool:
        if self._genuine.get(value) is key:
            return True
        if not key.is_genuine(value):
            return False
        if len(self._genuine) >= MAX_GENUINE:
            self._genuine.clear()
        self._genuine[value] = key
        return True

    def _made(self, upstream: Upstream, endpoint: Endpoint) -> bytes | None:
        """Name and value; None while there is no key, and for an endpoint that has just gone."""
        table = self._ids.of(upstream)
        name, opaque = self._names.get(upstream.name), table.ids.get(endpoint)
        if name is None or opaque is None:
            return None
        return name + b"=" + table.keys[0].sealed(opaque + b"%08x" % (int(self._clock()) & 0xFFFFFFFF))

    def __repr__(self) -> str:
        return f"<CookieSessions {self._name.decode() or 'of each upstream'}>"


def default_name(upstream: str) -> bytes:
    """What our cookie for an upstream is called if nothing else is said."""
    return DEFAULT_PREFIX + blake2b(upstream.encode(), digest_size=4).hexdigest().encode()


def _attributes(config: Settings) -> bytes:
    """The attributes but Secure, which may depend on the request."""
    parts = [f"; Path={config.path}"]
    if config.domain:
        parts.append(f"; Domain={config.domain}")
    if config.ttl:
        parts.append(f"; Max-Age={max(1, int(config.ttl))}")
    if config.http_only:
        parts.append("; HttpOnly")
    if config.same_site:
        parts.append(f"; SameSite={config.same_site.capitalize()}")
    return "".join(parts).encode()


__all__ = ["CookieSessions", "default_name"]
