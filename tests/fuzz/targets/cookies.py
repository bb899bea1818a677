"""Cookies: ours are taken, and nothing of the others is lost, added or moved."""

from __future__ import annotations

from fuzz_input import fields
from gateway_persistence.cookie_fields import change_cookies, cookie_value, set_cookie_value, take_cookies

NAMES = {b"gw-a", b"gw-b"}


def pairs(raw: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Every cookie of a request, name and value."""
    pieces = [piece for name, text in raw if name == b"cookie" for piece in text.split(b";")]
    split = [piece.partition(b"=") for piece in pieces if piece.strip(b" \t")]
    return [(name.strip(b" \t"), value.strip(b" \t")) for name, _, value in split]


def check(data: bytes) -> None:
    raw = fields(data)
    before, others = pairs(raw), [field for field in raw if field[0] != b"cookie"]
    first = next((value for name, value in before if name == b"gw-a"), None)
    assert cookie_value(raw, b"gw-a") == first
    changed = raw.copy()
    change_cookies(changed, b"gw-a", lambda value: value)
    assert pairs(changed) == before
    assert take_cookies(raw, b"gw-", NAMES) == [pair for pair in before if pair[0] in NAMES]
    assert pairs(raw) == [pair for pair in before if pair[0] not in NAMES]
    assert [field for field in raw if field[0] != b"cookie"] == others
    set_cookie_value(raw, b"gw-a")
