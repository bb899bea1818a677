"""What crosses this hop: the request head that an endpoint gets, and the response fields that a client gets.

Owns the rules on hop-by-hop fields, forwarding fields and framing (RFC 9110 7.6, RFC 9112 6). Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.headers import Headers, RawHeaders, folded_name

if TYPE_CHECKING:
    from gateway.model import Request

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
    )
)
"""Fields that end at this hop (RFC 9110 7.6.1)."""

FORWARDING = frozenset(
    (b"forwarded", b"front-end-https", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port",
     b"x-forwarded-prefix", b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-scheme",
     b"x-forwarded-server", b"x-forwarded-ssl", b"x-forwarded-uri", b"x-original-host", b"x-original-uri",
     b"x-original-url", b"x-real-ip", b"x-rewrite-url", b"x-url-scheme")
)  # fmt: skip
"""Fields in which proxies tell who the client is and what it has asked for; believed only from trusted ones.

No cache has them in its keys: an application that believes a client's word of them would answer for all others.
"""

_FOLDED_FORWARDING = frozenset(map(folded_name, FORWARDING))
_PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-"
"""What almost every name is made of."""

_OURS = frozenset((b"content-length", b"expect", b"http2-settings"))
"""Fields that we write anew from what was parsed, or that we have answered ourselves."""

_SET_BY_US = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))

_DROPPED = HOP_BY_HOP | _OURS | _SET_BY_US
FRAMING = frozenset((b"content-length", b"transfer-encoding"))
ENDS_HERE = HOP_BY_HOP | FRAMING
"""Fields of a response that are not passed on as they are."""

_PROTECTED = (
    _OURS | FORWARDING | {b"host", b"date", b"server", b"set-cookie", b"content-type", b"authorization", b"cookie"}
)
"""Fields that `Connection: name` cannot take away."""

_PROTO = {
    "http": (b"x-forwarded-proto", b"http"),
    "ws": (b"x-forwarded-proto", b"http"),
    "https": (b"x-forwarded-proto", b"https"),
    "wss": (b"x-forwarded-proto", b"https"),
}

_MAX_HOPS_DIGITS = 9
"""A greater number of hops is taken for the greatest with so many: we need not know it (RFC 9110 7.6.2)."""

_NAMES_NOTHING = frozenset((b"keep-alive", b"close", b"Keep-Alive", b"Close", b"", b"upgrade", b"Upgrade"))


def named_by_connection(values: list[bytes]) -> frozenset[bytes]:
    """The further fields that `Connection` declares to be for this hop only."""
    names = {name.strip().lower() for value in values for name in value.split(b",")}
    return frozenset(names - _PROTECTED - {b"keep-alive", b"close", b""})


def end_named(headers: Headers) -> None:
    """Take away the further fields that a request's `Connection` names, and that with them.

    Before any plugin sees the request: what a plugin adds under one of these names is for the endpoint, and no
    client may take it away again.
    """
    values = [value for name, value in headers.raw if name == b"connection" and value not in _NAMES_NOTHING]
    named = named_by_connection(values) - ENDS_HERE if values else None
    if named:
        headers.raw[:] = [field for field in headers.raw if field[0] not in named and field[0] != b"connection"]


def has_forwarding(fields: Mapping[bytes, bytes]) -> bool:
    """Whether there is any of it; applications of the CGI family take `_`, and often `.`, for `-`."""
    # hot: plain
    if not FORWARDING.isdisjoint(fields):
        return True
    is_plain = not b"".join(fields).translate(None, _PLAIN)
    return not is_plain and not _FOLDED_FORWARDING.isdisjoint(map(folded_name, fields))


def end_forwarding(headers: Headers) -> None:
    """Take away what a client that is no trusted proxy says of itself and of what it has asked for.

    Before any plugin sees the request, for the same reason: an operator's own `X-Forwarded-Prefix` is to arrive.
    """
    headers.raw[:] = [field for field in headers.raw if folded_name(field[0]) not in _FOLDED_FORWARDING]


def take_hop(headers: Headers) -> bool:
    """Count this hop in the Max-Forwards of an OPTIONS request; False if it may not go further (RFC 9110 7.6.2).

    For other methods the field means nothing, and one that is no number says nothing.
    """
    values = headers.get_all(b"max-forwards")
    if len(values) != 1 or not values[0].isdigit():
        return True
    digits = values[0].lstrip(b"0")
    if not digits:
        return False
    left = int(digits) - 1 if len(digits) <= _MAX_HOPS_DIGITS else 10**_MAX_HOPS_DIGITS - 1
    headers.set(b"max-forwards", b"%d" % left)
    return True


def outgoing_headers(request: Request, host: bytes | None, is_trusted: bool) -> RawHeaders:
    """The request's fields as an endpoint gets them, framing excepted; the request itself stays as it is.

    `host` replaces the client's Host, if it is given.
    """
    # hot: plain. Most requests have nothing to take away: then the list is copied in one go.
    raw = request.headers.raw
    dropped, names = _DROPPED, dict(raw)
    if dropped.isdisjoint(names):
        headers = raw.copy()
    else:
        extra = _connection_names(raw) if b"connection" in names else frozenset()
        headers = [field for field in raw if field[0] not in dropped and field[0] not in extra]
    given = names.get(b"host", b"")
    if host is not None:
        headers = [(b"host", host), *(field for field in headers if field[0] != b"host")]
    if is_trusted:
        _append_forwarding(headers, request)
    else:
        if request.peer:  # a Unix socket has no address
            headers.append((b"x-forwarded-for", request.peer.encode("latin-1")))
        headers.append(_PROTO[request.scheme])
        if given:
            headers.append((b"x-forwarded-host", given))
    return headers


def _connection_names(raw: RawHeaders) -> frozenset[bytes]:
    values = [value for name, value in raw if name == b"connection" and value not in _NAMES_NOTHING]
    return named_by_connection(values) if values else frozenset()


def _append_forwarding(headers: RawHeaders, request: Request) -> None:
    """Behind a trusted proxy its words are kept: our peer joins the chain, proto and host stay."""
    given = request.headers
    chain = given.get_all(b"x-forwarded-for")
    scheme = _PROTO[request.scheme][1]
    headers.append((b"x-forwarded-for", b", ".join([*chain, request.peer.encode("latin-1")])))
    headers.append((b"x-forwarded-proto", given.get(b"x-forwarded-proto", scheme)))
    host = given.get(b"x-forwarded-host", given.get(b"host", b""))
    if host:  # HTTP/1.0 may have none
        headers.append((b"x-forwarded-host", host))


def request_head(method: bytes, target: bytes, headers: RawHeaders, framing: bytes) -> bytes:
    """The head of a request on the wire. `framing` is complete fields with their line ends, or empty."""
    # hot: plain
    fields = b"\r\n".join(map(b": ".join, headers))
    return b"%b %b HTTP/1.1\r\n%b\r\n%b\r\n" % (method, target, fields, framing)


def without_framing(headers: Headers) -> RawHeaders:
    """The fields without any framing that a plugin may have added: it is ours to write."""
    return [field for field in headers.raw if field[0] not in FRAMING]


def incoming_headers(raw: RawHeaders) -> RawHeaders:
    """A response's fields as the client gets them, framing excepted."""
    extra = _connection_names(raw)
    return [field for field in raw if field[0] not in ENDS_HERE and field[0] not in extra]


def without_named(headers: RawHeaders, connection: bytes) -> RawHeaders:
    """A response's fields without those that its `Connection` names."""
    extra = named_by_connection([connection]) if connection not in _NAMES_NOTHING else frozenset()
    return [field for field in headers if field[0] not in extra] if extra else headers
