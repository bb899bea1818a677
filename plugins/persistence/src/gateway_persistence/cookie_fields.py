"""Cookies in header fields, as bytes: find them, take them out, change them; nothing else is touched.

Any bytes are taken as they are (RFC 6265 5.4, 4.1): what is malformed is no cookie that we know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

Fields = list[tuple[bytes, bytes]]

_BLANK = b" \t"


def take_cookies(fields: Fields, names: Collection[bytes]) -> list[tuple[bytes, bytes]]:
    """Take the cookies of these names out of a request's fields; what they were, in order.

    Other cookies stay byte for byte; a Cookie field that is left without one goes.
    """
    taken: list[tuple[bytes, bytes]] = []
    kept_fields: Fields = []
    for field in fields:
        if field[0] != b"cookie":
            kept_fields.append(field)
            continue
        pieces = field[1].split(b";")
        kept: list[bytes] = []
        for piece in pieces:
            name, _, value = piece.partition(b"=")
            if name.strip(_BLANK) in names:
                taken.append((name.strip(_BLANK), value.strip(_BLANK)))
            else:
                kept.append(piece)
        if len(kept) == len(pieces):
            kept_fields.append(field)
        elif rest := b";".join(kept).strip(b" \t;"):
            kept_fields.append((b"cookie", rest))
    if taken:
        fields[:] = kept_fields
    return taken


def cookie_value(fields: Fields, wanted: bytes) -> bytes | None:
    """The value of the first cookie of a name in a request's fields."""
    for field, text in fields:
        if field == b"cookie" and wanted in text:
            for piece in text.split(b";"):
                name, _, value = piece.partition(b"=")
                if name.strip(_BLANK) == wanted:
                    return value.strip(_BLANK)
    return None


def change_cookies(fields: Fields, wanted: bytes, change: Callable[[bytes], bytes]) -> None:
    """Put `change(value)` in the place of every value of a name in a request's fields."""
    for place, (field, text) in enumerate(fields):
        if field == b"cookie" and wanted in text:
            fields[place] = (b"cookie", b";".join(_changed(piece, wanted, change) for piece in text.split(b";")))


def set_cookie_value(fields: Fields, wanted: bytes) -> bytes | None:
    """The value that a response's fields give a cookie, the last one if several do."""
    for field, text in reversed(fields):
        if field == b"set-cookie":
            name, _, value = text.partition(b";")[0].partition(b"=")
            if name.strip(_BLANK) == wanted:
                return value.strip(_BLANK)
    return None


def change_set_cookies(fields: Fields, wanted: bytes, change: Callable[[bytes], bytes]) -> None:
    """Put `change(value)` in the place of every value that a response's fields give a cookie."""
    for place, (field, text) in enumerate(fields):
        if field == b"set-cookie" and wanted in text:
            pair, semicolon, attributes = text.partition(b";")
            fields[place] = (b"set-cookie", _changed(pair, wanted, change) + semicolon + attributes)


def _changed(pair: bytes, wanted: bytes, change: Callable[[bytes], bytes]) -> bytes:
    name, equals, value = pair.partition(b"=")
    if not equals or name.strip(_BLANK) != wanted:
        return pair
    return name + equals + change(value.strip(_BLANK))


__all__ = ["Fields", "change_cookies", "change_set_cookies", "cookie_value", "set_cookie_value", "take_cookies"]
