"""A response as it is stored, or that it is not: what comes new from the origin, and what it confirms.

Owns the making of entries. Whether a response allows it is decided by `policy`.
"""

from __future__ import annotations

from gateway import Exchange, Headers, Response
from gateway_cache.config import Config
from gateway_cache.entry import Entry, birth, stored_headers
from gateway_cache.lookup import Lookup
from gateway_cache.partial import announced, strong_validator
from gateway_cache.policy import Terms, is_for_all, terms_of
from gateway_cache.selecting import has_strange_coding, selecting_values, vary_names
from gateway_cache.serving import length_of
from gateway_cache.validation import confirms

WRITTEN_BY_US = frozenset((b"forwarded", b"via", b"x-real-ip", b"x-request-id"))
"""Fields that an endpoint does not get as the client has sent them."""
MAX_URL_BYTES = 8192
"""What belongs to longer ones is not stored: they would fill the memory by themselves."""


def kept(exchange: Exchange, lookup: Lookup, response: Response, config: Config, now: float) -> Entry | None:
    """A response to GET as it is stored, without its body; None if it is not."""
    headers = response.headers
    vary, length = _vary(headers, config), length_of(response)
    if vary is None or lookup.is_void or length > _longest(response, config):
        return None
    parts = announced(response, length) if response.status == 206 and lookup.is_conditional else None
    if parts is None and (response.status == 206 or (response.status != 200 and lookup.is_conditional)):
        return None  # an answer to its conditions, perhaps
    if len(lookup.url) > MAX_URL_BYTES or has_strange_coding(headers, vary):
        return None
    born, date = birth(headers, lookup.asked, now)
    may_guess = bool(exchange.attempts)
    terms = terms_of(response.status, headers, lookup.has_authorization, date, config, may_guess=may_guess)
    if isinstance(terms, str):
        return None
    if not exchange.attempts and _is_cheaper_anew(headers, terms):
        return None
    is_fresh = now < born + terms.lifetime + terms.while_revalidating
    if not is_fresh and b"etag" not in headers and b"last-modified" not in headers:
        return None  # it could never be used
    selecting = selecting_values(vary, lookup.fields)
    stored = stored_headers(response, now, terms.hidden)
    entry = Entry(lookup.place, response.status, stored, terms, vary, selecting, born, parts)
    # A part that cannot be told from one of other bytes is of use to nobody.
    return None if parts is not None and strong_validator(entry) is None else entry


def _is_cheaper_anew(headers: Headers, terms: Terms) -> bool:
    """Whether a plugin had better be asked each time: it would be, to confirm, and has nothing to encode again."""
    return (terms.lifetime <= 0 or terms.is_validated) and b"content-encoding" not in headers


def _longest(response: Response, config: Config) -> int:
    """How long its body may be: files take what arrives piece by piece, and no parts."""
    is_arriving = not isinstance(response.body, bytes) and response.status != 206
    return config.longest if is_arriving else config.max_entry


def confirmed(
    exchange: Exchange, lookup: Lookup, entry: Entry, response: Response, config: Config, now: float
) -> Entry | None:
    """What is stored after a 304 (RFC 9111 4.3.4) or an answer to HEAD that is about the same (4.3.5).

    None if it is about something else, or forbids to store it.
    """
    if not confirms(response, entry):
        return None
    born, date = birth(response.headers, lookup.asked, now)
    merged = entry.merged(stored_headers(response, now))
    headers = Headers.adopt(merged)
    vary = _vary(headers, config)
    if vary is None:
        return None
    may_guess = bool(exchange.attempts)
    # What needs a word to be stored after a request with Authorization, and has none, came after one without.
    has_authorization = lookup.has_authorization and is_for_all(entry.headers, config)
    terms = terms_of(entry.status, headers, has_authorization, date, config, may_guess=may_guess)
    if isinstance(terms, str):
        return None
    kept = entry.with_fields([field for field in merged if field[0] not in terms.hidden], terms, born)
    if vary != entry.vary:
        kept.vary, kept.selecting = vary, selecting_values(vary, lookup.fields)
    return kept


def _vary(headers: Headers, config: Config) -> tuple[bytes, ...] | None:
    """The request's fields that select a response; None if nobody knows them, or the gateway itself writes them."""
    vary = vary_names(headers)
    if vary is None or any(name in WRITTEN_BY_US or name.startswith(b"x-forwarded-") for name in vary):
        return None
    return (
        tuple(name for name in vary if name != b"user-agent") if config.device_classes else vary
    )  # the key has it


__all__ = ["confirmed", "kept"]
