"""A stored response: its fields and body, when it came, and until when it may be used.

Immutable but for what a validation brings. Does not know where it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import Headers, Response, format_date, parse_date
from gateway_cache.freshness import initial_age
from gateway_cache.policy import Terms

RawHeaders = list[tuple[bytes, bytes]]
Place = tuple[str, str]
"""Route and upstream that a response came by: others have responses of their own."""

NOT_KEPT = frozenset((b"age", b"connection", b"content-length", b"transfer-encoding"))
"""Fields that are made anew with each use."""

NOT_UPDATED = frozenset((b"content-length", b"content-encoding", b"content-type", b"content-range", b"etag"))
"""Fields that a validation leaves as they are (RFC 9111 3.2): they describe the bytes that are stored."""

OVERHEAD_BYTES = 1024
"""What an entry takes beside its body and fields."""


class Entry:
    """One stored response, for one place and one set of selecting values."""

    __slots__ = (
        "body", "born", "date", "etag", "fresh_until", "headers", "last_modified", "place", "selecting", "size",
        "status", "tags", "terms", "vary",
    )  # fmt: skip

    def __init__(
        self,
        place: Place,
        status: int,
        headers: RawHeaders,
        terms: Terms,
        vary: tuple[bytes, ...],
        selecting: tuple[bytes | None, ...],
        born: float,
    ) -> None:
        self.place = place
        self.status = status
        self.headers = headers
        self.terms = terms
        self.vary = vary
        self.selecting = selecting
        self.body = b""
        self.born = born
        """The moment from which its age counts, in seconds since the epoch."""
        self.fresh_until = 0.0 if terms.is_validated else born + terms.lifetime
        fields = dict(reversed(headers))
        self.etag = fields.get(b"etag")
        self.date = parse_date(fields.get(b"date", b""))
        self.last_modified = parse_date(fields.get(b"last-modified", b""))
        self.tags = tags_of(headers)
        self.size = OVERHEAD_BYTES + sum(len(name) + len(value) for name, value in headers)
        self.size += sum(len(value or b"") for value in selecting)

    def with_body(self, body: bytes) -> Entry:
        """The same, whole."""
        self.body = body
        self.size += len(body)
        return self

    def validated(self, fresh: RawHeaders, terms: Terms, born: float) -> Entry:
        """What it is after a 304 with these fields (RFC 9111 4.3.4)."""
        replaced = {name for name, _ in fresh} - NOT_UPDATED - NOT_KEPT
        kept = [field for field in self.headers if field[0] not in replaced]
        kept += [field for field in fresh if field[0] in replaced]
        entry = Entry(self.place, self.status, kept, terms, self.vary, self.selecting, born)
        return entry.with_body(self.body)

    @property
    def lifetime_ends(self) -> float:
        """When it becomes stale, whether or not it has to be validated before."""
        return self.born + self.terms.lifetime

    def response(self) -> Response:
        """As a response of its own, whole."""
        return Response.adopt(self.status, self.headers.copy(), self.body)

    def __repr__(self) -> str:
        return f"<Entry {self.status}, {len(self.body)} bytes, vary {self.vary}>"


def stored_headers(response: Response, now: float, hidden: frozenset[bytes] = frozenset()) -> RawHeaders:
    """The fields of a response to keep; with a Date if it came without one (RFC 9110 6.6.1)."""
    kept = [field for field in response.headers.raw if field[0] not in NOT_KEPT and field[0] not in hidden]
    if not any(name == b"date" for name, _ in kept):
        kept.append((b"date", format_date(int(now))))
    return kept


def birth(headers: Headers, asked: float, came: float) -> tuple[float, int]:
    """When a response that came just now was born, as its age counts, and its Date."""
    date = parse_date(headers.get(b"date", b"") or b"")
    made = int(came) if date is None else date
    return came - initial_age(headers, made, asked, came), made


def tags_of(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """What a response is labelled with for purging: Surrogate-Key (by spaces) and Cache-Tag (by commas)."""
    tags: set[bytes] = set()
    for name, value in headers:
        if name == b"surrogate-key":
            tags.update(value.split())
        elif name == b"cache-tag":
            tags.update(part.strip(b" \t") for part in value.split(b","))
    return frozenset(tags - {b""})


__all__ = ["Entry", "RawHeaders", "birth", "stored_headers", "tags_of"]
