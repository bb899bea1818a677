"""Cookies in header fields, as bytes: find them, take them out, change them; nothing else is touched.

Any bytes are taken as they are (RFC 6265 5.4, 4.1): what is malformed is no cookie that we know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

Fields = list[tuple[bytes, bytes]]

_BLANK = b" \t"


def take_cookies(
    fields: Fields, mark: bytes, names: Collection[bytes], start: int = 0
) -> list[tuple[bytes, bytes]]:
    """Take the cookies of these names, which all hold `mark`, out of a request's fields; what they were, in order.

    Other cookies stay byte for byte; a Cookie field that is left without one goes. Looks from field `start` on.
    """
    # hot: l7-balancer
    taken: list[tuple[bytes, bytes]] = []
    has_empty = False
    for place in range(start, len(fields)):
        field, text = fields[place]
        if field != b"cookie" or mark not in text:
            continue
        pieces = text.split(b";")
        kept: list[bytes] = []
        for piece in pieces:
            if mark in piece:
                name, _, value = piece.partition(b"=")
                name = name.strip(_BLANK)
                if name in names:
                    taken.append((name, value.strip(_BLANK)))
                    continue
            kept.append(piece)
        if len(kept) != len(pieces):
            rest = b";".join(kept).strip(b" \t;")
            fields[place] = (b"cookie", rest)
            has_empty = has_empty or not rest
    if has_empty:
        fields[:] = [field for field in fields if field != (b"cookie", b"")]
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
