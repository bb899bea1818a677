"""Ask whether a stored response is still good, and take what the answer brings (RFC 9111 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Headers, Response, is_same_weakly, parse_date
from gateway_cache.entry import Entry

if TYPE_CHECKING:
    from gateway_cache.lookup import Lookup

CONDITIONS = frozenset(
    (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since", b"if-range", b"range")
)


def is_conditional(headers: Headers) -> bool:
    """Whether a request may be answered with something else than a whole response."""
    return any(name in CONDITIONS for name, _ in headers.raw)


def put_conditions(lookup: Lookup, headers: Headers, entry: Entry) -> None:
    """Have what is stored confirmed (RFC 9111 4.3.1). A client's own conditions are looked at when it is."""
    lookup.entry = entry
    lookup.conditions = [field for field in headers.raw if field[0] in CONDITIONS]
    if lookup.conditions:
        headers.raw[:] = [field for field in headers.raw if field[0] not in CONDITIONS]
    if entry.etag is not None:
        headers.raw.append((b"if-none-match", entry.etag))
    if entry.last_modified is not None:
        modified = next(value for name, value in entry.headers if name == b"last-modified")
        headers.raw.append((b"if-modified-since", modified))


def give_back_conditions(lookup: Lookup, headers: Headers) -> None:
    """Let the request have the client's own conditions again."""
    if lookup.entry is not None:
        headers.raw[:] = [field for field in headers.raw if field[0] not in CONDITIONS] + lookup.conditions


def confirms(response: Response, entry: Entry) -> bool:
    """Whether a 304, or an answer to HEAD, is about what is stored.

    A 304 names no other ETag (RFC 9111 4.3.4); what stands in an answer to HEAD of validators and length is as
    stored (4.3.5).
    """
    headers = response.headers
    etag = headers.get(b"etag")
    modified, length = headers.get(b"last-modified"), headers.get(b"content-length")
    if etag is not None and entry.etag is not None and not is_same_weakly(etag, entry.etag):
        return False
    is_other_date = modified is not None and parse_date(modified) != entry.last_modified
    if response.status == 304:
        return not is_other_date or (etag is not None and entry.etag is not None)
    if is_other_date or (etag is not None and entry.etag is None):
        return False
    return length is None or length == b"%d" % entry.length


__all__ = ["confirms", "give_back_conditions", "is_conditional", "put_conditions"]
