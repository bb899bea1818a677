"""Whether a response may be stored by a shared cache, and under which conditions it is used later (RFC 9111 3, 4).

Pure decisions over a request's and a response's fields. Does not store.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway import Headers
from gateway_cache.config import Config
from gateway_cache.directives import Directives, field_names, parse_directives, parse_targeted, seconds
from gateway_cache.freshness import HEURISTIC_STATUSES, explicit_lifetime, heuristic_lifetime

UNDERSTOOD = frozenset((*range(200, 207), *range(300, 309), *range(400, 418), 421, 422, 426, *range(500, 506)))
"""Statuses whose effect on caching is known here (RFC 9110 15): `must-understand` asks for that."""

NOT_STORED = frozenset((304, 412, 416))
"""Answers to one request's range or condition are none that could be served to others."""

FOR_ALL = (b"public", b"must-revalidate", b"s-maxage")
NEGATIVE = frozenset((404, 410))


class Terms(NamedTuple):
    """On which a stored response may be used."""

    lifetime: float
    """Seconds for which it is fresh."""
    is_validated: bool
    """Whether it must not be used without asking the origin (`no-cache`)."""
    is_strict: bool
    """Whether it must not be used once it is stale, whatever happens (`must-revalidate`, RFC 9111 4.2.4)."""
    while_revalidating: float
    """Seconds of staleness in which it may be used while a fresh one is fetched (RFC 5861 3)."""
    if_error: float
    """Seconds of staleness in which it may be used when the origin fails (RFC 5861 4)."""
    hidden: frozenset[bytes]
    """Fields that are not for others, or not without asking the origin: they are not stored."""
    is_immutable: bool = False
    """Whether it does not change while it is fresh (RFC 8246): for a client that reloads it is not confirmed."""


def governing(headers: Headers, config: Config) -> tuple[Directives, bool]:
    """The directives that count for a response, and whether they stand in a targeted field."""
    for name in config.targets:
        targeted = parse_targeted(headers.get_all(name.encode()))
        if targeted is not None:
            return targeted, True
    return parse_directives(headers.get_all(b"cache-control")), False


def terms_of(
    status: int, headers: Headers, has_authorization: bool, date: int, config: Config, *, may_guess: bool = True
) -> Terms | str:
    """The terms on which a response to GET may be stored and used; or in a word why not.

    `may_guess` is false for what a plugin has made: to ask it again costs little, so nothing is fresh by a guess.
    """
    if status in NOT_STORED:
        return "status"
    directives, is_targeted = governing(headers, config)
    refusal = _refusal(status, headers, directives, has_authorization, config)
    if refusal:
        return refusal
    expiring = Headers() if is_targeted else headers
    lifetime: float | None = explicit_lifetime(expiring, directives, date)
    is_told = bool(lifetime)
    if lifetime is None and status in NEGATIVE and config.negative_ttl:
        lifetime = config.negative_ttl
    if lifetime is None:
        if status not in HEURISTIC_STATUSES and b"public" not in directives:
            return "status"
        share = config.heuristic_share if may_guess else 0.0
        lifetime = heuristic_lifetime(status, headers, directives, date, share, config.heuristic_max)
    is_final = b"must-revalidate" in directives or b"proxy-revalidate" in directives
    is_strict = is_final or b"s-maxage" in directives
    # Who says nothing of caches, or that nothing is fresh, may have meant it for one client: without a word of his
    # own on staleness that must not come out later.
    return Terms(
        lifetime,
        is_validated=b"no-cache" in directives and not field_names(directives, b"no-cache"),
        is_strict=is_strict,
        while_revalidating=_span(
            directives,
            b"stale-while-revalidate",
            config.stale_while_revalidate if is_told else 0.0,
            is_final,
            is_strict,
        ),
        if_error=_span(
            directives, b"stale-if-error", config.stale_if_error if is_told else 0.0, is_final, is_strict
        ),
        hidden=hidden_in(directives),
        is_immutable=b"immutable" in directives,
    )


def is_for_all(fields: Iterable[tuple[bytes, bytes]], config: Config) -> bool:
    """Whether a response says of itself that it may be stored after a request with Authorization (RFC 9111 3.5)."""
    directives, _ = governing(Headers.adopt(list(fields)), config)
    return any(name in directives for name in FOR_ALL)


def hidden_in(directives: Directives) -> frozenset[bytes]:
    """The fields that `no-cache="..."` and `private="..."` name (RFC 9111 5.2.2.4, 5.2.2.7)."""
    return field_names(directives, b"no-cache") | field_names(directives, b"private")


def _refusal(status: int, headers: Headers, directives: Directives, has_authorization: bool, config: Config) -> str:
    if b"must-understand" in directives:
        if status not in UNDERSTOOD:
            return "must-understand"
    elif b"no-store" in directives:
        return "no-store"
    if b"private" in directives and not field_names(directives, b"private"):
        return "private"
    if has_authorization and not any(name in directives for name in FOR_ALL):
        return "authorization"  # RFC 9111 3.5
    if config.set_cookie == "refuse" and b"set-cookie" in headers and b"set-cookie" not in hidden_in(directives):
        return "set-cookie"
    return ""


def _span(directives: Directives, name: bytes, otherwise: float, is_final: bool, is_strict: bool) -> float:
    """For how long staleness does not matter. `s-maxage` forbids it (RFC 9111 5.2.2.10) unless the response says
    otherwise itself, which `must-revalidate` and `proxy-revalidate` do not let it."""
    told = seconds(directives, name)
    if is_final:
        return 0.0
    if told is not None:
        return float(told)
    return 0.0 if is_strict else otherwise


__all__ = ["Terms", "governing", "terms_of"]
