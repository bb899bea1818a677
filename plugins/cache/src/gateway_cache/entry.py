"""A stored response: its fields and body, when it came, and until when it may be used.

Immutable but for what a validation brings. Does not know where it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import FileBody, Headers, Response, format_date, parse_date
from gateway_cache.files import BodyFile
from gateway_cache.freshness import initial_age
from gateway_cache.partial import Parts
from gateway_cache.policy import Terms

RawHeaders = list[tuple[bytes, bytes]]
Place = tuple[str, str]
"""Route and upstream that a response came by: others have responses of their own."""

NOT_KEPT = frozenset(
    (b"age", b"connection", b"content-length", b"content-range", b"proxy-authentication-info", b"transfer-encoding")
)
"""Fields that are made anew with each use, or are about one hop alone (RFC 9111 3.1)."""

NOT_UPDATED = frozenset((b"content-encoding", b"content-type", b"etag"))
"""Fields that a validation leaves as they are (RFC 9111 3.2): they describe the bytes that are stored."""

OVERHEAD_BYTES = 1024
"""What an entry takes beside its body and fields."""


class Entry:
    """One stored response, for one place and one set of selecting values."""

    __slots__ = (
        "body", "born", "date", "etag", "file", "fresh_until", "headers", "last_modified", "parts", "place",
        "selecting", "size", "status", "tags", "terms", "vary",
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
        parts: Parts | None = None,
    ) -> None:
        self.place = place
        self.status = status
        self.headers = headers
        self.terms = terms
        self.vary = vary
        self.selecting = selecting
        self.body: bytes | FileBody = b""
        """The whole representation; empty if only parts of it are there, or a file that is not open."""
        self.file: BodyFile | None = None
        self.parts = parts
        self.born = born
        """The moment from which its age counts, in seconds since the epoch."""
        self.fresh_until = 0.0 if terms.is_validated or parts is not None else born + terms.lifetime
        """Until when it serves whoever asks, without another look."""
        fields = dict(reversed(headers))
        self.etag = fields.get(b"etag")
        self.date = parse_date(fields.get(b"date", b""))
        self.last_modified = parse_date(fields.get(b"last-modified", b""))
        self.tags = tags_of(headers)
        self.size = OVERHEAD_BYTES + sum(len(name) + len(value) for name, value in headers)
        self.size += sum(len(value or b"") for value in selecting)

    def with_body(self, body: bytes) -> Entry:
        """The same, with what it was without until now: all of its bytes, or those of its part."""
        if self.parts is None:
            self.body = body
        else:
            self.parts = self.parts.holding(body)
        self.size += len(body)
        return self

    def with_file(self, file: BodyFile) -> Entry:
        """The same, whole, with its body in a file. It is not served without another look: the file may vanish."""
        self.file = file
        self.fresh_until = 0.0
        return self

    def opened(self) -> Entry | None:
        """The same, ready to be served; None if its file is not what it was."""
        if self.file is None:
            return self
        file = self.file.open()
        return None if file is None else self._holding(FileBody(file))

    def closed(self) -> Entry:
        """The same as it is stored: files are open only while they are sent."""
        return self if self.file is None else self._holding(b"")

    def _holding(self, body: bytes | FileBody) -> Entry:
        entry = self.with_fields(self.headers, self.terms, self.born)
        entry.body = body
        return entry

    def with_parts(self, parts: Parts) -> Entry:
        """The same with these parts; a whole response if they are all that there is."""
        whole = parts.whole
        status, others = (self.status, parts) if whole is None else (200, None)
        entry = Entry(self.place, status, self.headers, self.terms, self.vary, self.selecting, self.born, others)
        if whole is not None:
            return entry.with_body(whole)
        entry.size += parts.size
        return entry

    def validated(self, fresh: RawHeaders, terms: Terms, born: float) -> Entry:
        """What it is after a response with these fields that is about the same (RFC 9111 3.4)."""
        return self.with_fields(self.merged(fresh), terms, born)

    def merged(self, fresh: RawHeaders) -> RawHeaders:
        """Its fields, and in place of those that bear the same names these (RFC 9111 3.2)."""
        replaced = {name for name, _ in fresh} - NOT_UPDATED - NOT_KEPT
        kept = [field for field in self.headers if field[0] not in replaced]
        kept += [field for field in fresh if field[0] in replaced]
        return kept

    def outdated(self, now: float) -> Entry:
        """The same, stale from now on."""
        lifetime = max(0.0, min(self.terms.lifetime, now - self.born))
        return self.with_fields(
            self.headers, self.terms._replace(lifetime=lifetime, while_revalidating=0.0), self.born
        )

    def with_fields(self, headers: RawHeaders, terms: Terms, born: float) -> Entry:
        """The same with other fields."""
        entry = Entry(self.place, self.status, headers, terms, self.vary, self.selecting, born, self.parts)
        entry.body = self.body
        if self.file is not None:
            return entry.with_file(self.file)
        entry.size += self.length if self.parts is None else self.parts.size
        return entry

    @property
    def length(self) -> int:
        """Bytes of the whole representation."""
        if self.parts is not None:
            return self.parts.total
        if self.file is not None:
            return self.file.size
        assert isinstance(self.body, bytes)
        return len(self.body)

    def is_fresh(self, now: float) -> bool:
        """Whether it may serve requests that say nothing of caches."""
        return now < self.lifetime_ends and not self.terms.is_validated

    @property
    def lifetime_ends(self) -> float:
        """When it becomes stale, whether or not it has to be validated before."""
        return self.born + self.terms.lifetime

    def response(self) -> Response:
        """As a response of its own, whole. Its file, if it has one, is open."""
        return Response.adopt(self.status, self.headers.copy(), self.body)

    def __repr__(self) -> str:
        return f"<Entry {self.status}, {self.size} bytes, vary {self.vary}>"


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
