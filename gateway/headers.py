"""A multi-valued, order-keeping header list over bytes.

Knows names, values and what may stand in them (RFC 9110 5). Does not know which header means what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, overload

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
"""What Granian hands in and takes back: lower-case names, values as they came."""

_new: Any = object.__new__
"""Looked up once: every exchange makes some objects past their checking `__init__`."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_FORBIDDEN_IN_VALUE = re.compile(rb"[\r\n\0]").search


def name_bytes(name: str | bytes) -> bytes:
    """A header name in its canonical form: lower-case bytes."""
    return name.lower() if isinstance(name, bytes) else name.lower().encode("latin-1")


_FOLD = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord("_") for code in range(256))


def folded_name(name: bytes) -> bytes:
    """What CGI, WSGI and their kin make of a name: capitals do not count, and what is no letter or digit is one.

    `x-user`, `x_user` and `x.user` are the same there: whoever takes one away takes all of them away.
    """
    return name.translate(_FOLD)


def value_bytes(value: str | bytes) -> bytes:
    """A header value as bytes; text is latin-1, as RFC 9110 5.5 has it.

    Raises ValueError for CR, LF and NUL, which would let a value become a header of its own.
    """
    raw = value if isinstance(value, bytes) else value.encode("latin-1")
    if _FORBIDDEN_IN_VALUE(raw):
        raise ValueError(f"header value {raw!r} holds CR, LF or NUL")
    return raw


def checked_name(name: str | bytes) -> bytes:
    """Like `name_bytes`, and raises ValueError for what is no token (RFC 9110 5.6.2)."""
    raw = name_bytes(name)
    if not _TOKEN(raw):
        raise ValueError(f"header name {raw!r} is not a token")
    return raw


class Headers:
    """Header fields in the order they came, names in lower case, repeats kept.

    `headers["x-name"] = "value"`, `headers["x-name"]` and `del headers["x-name"]` are `set`, `get` and `remove`.
    `raw` is the list itself: fast code may read and rebuild it, minding that names are lower-case.
    """

    __slots__ = ("raw",)

    def __init__(
        self,
        fields: Mapping[str, str | bytes] | Iterable[tuple[str | bytes, str | bytes]] | Headers | None = None,
    ) -> None:
        self.raw: RawHeaders = []
        if fields is None:
            return
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        for name, value in pairs:
            self.add(name, value)

    @classmethod
    def adopt(cls, raw: RawHeaders) -> Headers:
        """Headers over an existing list, not copied and not checked."""
        # hot: plain
        headers: Headers = _new(cls)
        headers.raw = raw
        return headers

    @overload
    def get(self, name: str | bytes) -> bytes | None: ...
    @overload
    def get(self, name: str | bytes, default: bytes) -> bytes: ...
    def get(self, name: str | bytes, default: bytes | None = None) -> bytes | None:
        """The first value of a name, as bytes."""
        wanted = name_bytes(name)
        for field, value in self.raw:
            if field == wanted:
                return value
        return default

    @overload
    def text(self, name: str | bytes) -> str | None: ...
    @overload
    def text(self, name: str | bytes, default: str) -> str: ...
    def text(self, name: str | bytes, default: str | None = None) -> str | None:
        """The first value of a name, as text (latin-1: every byte is a character)."""
        value = self.get(name)
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str | bytes) -> list[bytes]:
        """All values of a name, in order."""
        wanted = name_bytes(name)
        return [value for field, value in self.raw if field == wanted]

    def add(self, name: str | bytes, value: str | bytes) -> None:
        """Append a field. Raises ValueError for a bad name or value."""
        self.raw.append((checked_name(name), value_bytes(value)))

    def set(self, name: str | bytes, value: str | bytes) -> None:
        """Make this the one value of a name, where the name first stood, or at the end."""
        wanted, new = checked_name(name), value_bytes(value)
        kept: RawHeaders = []
        is_placed = False
        for field in self.raw:
            if field[0] != wanted:
                kept.append(field)
            elif not is_placed:
                kept.append((wanted, new))
                is_placed = True
        if not is_placed:
            kept.append((wanted, new))
        self.raw[:] = kept

    def set_default(self, name: str | bytes, value: str | bytes) -> bytes:
        """Add the field unless the name is there; the value that holds afterwards."""
        present = self.get(name)
        if present is not None:
            return present
        new = value_bytes(value)
        self.raw.append((checked_name(name), new))
        return new

    def remove(self, name: str | bytes) -> bool:
        """Take every field of a name away; whether there was one."""
        wanted = name_bytes(name)
        kept = [field for field in self.raw if field[0] != wanted]
        is_found = len(kept) != len(self.raw)
        if is_found:
            self.raw[:] = kept
        return is_found

    def copy(self) -> Headers:
        """An independent list with the same fields."""
        return Headers.adopt(self.raw.copy())

    def __getitem__(self, name: str | bytes) -> bytes:
        """As `get`: the first value of a name. Raises KeyError if there is none."""
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str | bytes, value: str | bytes) -> None:
        """As `set`: make this the one value of a name. Raises ValueError for a bad name or value."""
        self.set(name, value)

    def __delitem__(self, name: str | bytes) -> None:
        """As `remove`: take every field of a name away; one that is not there is no error."""
        self.remove(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str | bytes) and self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Headers {', '.join(name.decode('latin-1') for name, _ in self.raw)}>"


def cookies_of(raw: RawHeaders, name: str) -> Iterator[str]:
    """The values of a request's cookies of a name, as they came (RFC 6265 4.2)."""
    for field, value in raw:
        if field == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, equals, content = pair.partition("=")
                if equals and key.strip() == name:
                    yield content.strip()
