"""Cache-Control and its kin as a table of directives (RFC 9111 5.2, RFC 9213).

Reads what is written, well or badly. Does not know what a directive means for a response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import http_sf

Directives: TypeAlias = Mapping[bytes, bytes | None]
"""A directive's name in lower case → its argument without quotes, or None. Of one that comes twice the first counts
(RFC 9111 4.2.1)."""

MOST_SECONDS = 2**31
"""What is longer counts as this (RFC 9111 1.2.2)."""

NONE: Directives = {}

# Possessive (`*+`): no byte is looked at twice, whatever a client sends.
_DIRECTIVE = re.compile(
    rb"""[ \t]*+([!#$%&'*+.^_`|~0-9A-Za-z-]++)                       # its name
         (?:[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^,"]*+)))?    # its argument, in quotes or without
         [ \t]*+(?:,|$)""",
    re.VERBOSE | re.DOTALL,
)
MAX_REMEMBERED = 256
"""Longer fields are read anew each time: clients could fill the memory with them."""
RESTRICTING = frozenset((b"must-revalidate", b"no-cache", b"no-store", b"private", b"proxy-revalidate"))
_TOKENS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").findall
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_NUMBER = re.compile(rb"[0-9]+").fullmatch


def parse_directives(values: Sequence[bytes]) -> Directives:
    """The directives of the fields of one name. What is none is passed over up to the next comma, but for words
    that restrict caches: who wrote them badly meant them all the same."""
    if not values:
        return NONE
    text = b",".join(values)
    return _remembered(text) if len(text) <= MAX_REMEMBERED else _parsed(text)


def _parsed(text: bytes) -> Directives:
    found: dict[bytes, bytes | None] = {}
    place = 0
    while place < len(text):
        match = _DIRECTIVE.match(text, place)
        if match is None:
            comma = text.find(b",", place)
            end = comma if comma >= 0 else len(text)
            for token in _TOKENS(text[place:end].lower()):
                if token in RESTRICTING:
                    found.setdefault(token, None)
            place = end + 1
            continue
        name, quoted, plain = match.groups()
        argument = plain.rstrip(b" \t") if plain is not None else None
        if quoted is not None:
            argument = _ESCAPE.sub(rb"\1", quoted)
        found.setdefault(name.lower(), argument)
        place = match.end()
    return found


_remembered = lru_cache(1024)(_parsed)


def parse_targeted(values: Sequence[bytes]) -> Directives | None:
    """The directives of a targeted field such as CDN-Cache-Control, a structured dictionary.

    None if it is empty or malformed: then it does not count, and the next one does (RFC 9213 2.1, 2.2).
    """
    if not values:
        return None
    try:
        parsed: Any = http_sf.parse(b", ".join(values), tltype="dictionary")
    except ValueError:  # StructuredFieldError is one
        return None
    found: dict[bytes, bytes | None] = {}
    for name, member in parsed.items():
        value = member[0]
        if value is True:
            found[name.encode()] = None
        elif value is not False:  # `?0` says that it does not hold; a list or a fraction is no argument of ours
            found[name.encode()] = str(value).encode() if isinstance(value, int | str) else b""
    return found or None


def seconds(directives: Directives, name: bytes) -> int | None:
    """The argument of a directive as whole seconds; None if it is not there.

    What is no number counts as 0: a response whose freshness is not to be understood is stale (RFC 9111 4.2.1).
    """
    if name not in directives:
        return None
    argument = directives[name]
    if argument is None or not _NUMBER(argument):
        return 0
    return min(MOST_SECONDS, int(argument)) if len(argument) < 20 else MOST_SECONDS


def field_names(directives: Directives, name: bytes) -> frozenset[bytes]:
    """The fields that `no-cache="..."` or `private="..."` is about; empty if about all of the response."""
    argument = directives.get(name)
    if not argument:
        return frozenset()
    return frozenset(part.strip(b" \t").lower() for part in argument.split(b",") if part.strip(b" \t"))


__all__ = ["MOST_SECONDS", "NONE", "Directives", "field_names", "parse_directives", "parse_targeted", "seconds"]
