"""Ask whether a stored response is still good, and take what the answer brings (RFC 9111 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Headers, Response
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
    """Whether a 304 is about what is stored: it names no other ETag (RFC 9111 4.3.4)."""
    etag = response.headers.get(b"etag")
    return etag is None or entry.etag is None or etag.removeprefix(b"W/") == entry.etag.removeprefix(b"W/")


__all__ = ["confirms", "give_back_conditions", "is_conditional", "put_conditions"]
