"""From a finished exchange to a line: JSON, or text after a template.

Owns the notation and the escaping. Nothing that a client sends can end a line or forge a field.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from typing import Any

from gateway import Exchange, Headers
from gateway_access_log.fields import FIELDS, Kind, compile_line

COMBINED = (
    '{client} - {user} [{clf_time}] "{method} {target} {protocol}" {status} {bytes_out} "{referer}" "{user_agent}"'
)
"""The Combined Log Format of Apache and nginx."""

MAX_KNOWN = 2048
"""Values that are remembered; with more, all are forgotten, so that those of today are found again."""
MAX_KNOWN_BYTES = 256

_PLACES = {Kind.NUMBER: "%d", Kind.MILLISECONDS: "%.3f"}
_JSON_PLACES = {**_PLACES, Kind.STAMP: '"%b"'}
_WRITERS = {Kind.NAME: "text[{}]", Kind.WORD: "words[{}]", Kind.OCTETS: "octets[{}]", Kind.UNIQUE: "write({})"}

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]')


def check_field(name: str) -> str:
    """The name, if there is such a field. Raises ValueError that names the nearest."""
    if name in FIELDS:
        return name
    close = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f" (known: {', '.join(FIELDS)})"
    raise ValueError(f"unknown field {name!r}{hint}")


class Memo(dict[Any, bytes]):
    """Values as they stand in a line, remembered for those seen lately: most come again and again."""

    def __init__(self, write: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, value: Any) -> bytes:
        written = self._write(value)
        if len(written) <= MAX_KNOWN_BYTES:
            if len(self) >= MAX_KNOWN:
                self.clear()
            self[value] = written
        return written


def json_lines(fields: Sequence[str], clock: Callable[[], float] = time.time) -> Callable[[Exchange], bytes]:
    """Lines of JSON with these fields, in this order; what is not known is null."""
    items = [f'"{name}":{_JSON_PLACES.get(FIELDS[name].kind, "%b")}' for name in fields]
    return compile_line(f"{{{','.join(items)}}}\n".encode(), _values(fields), _notation(_quoted), clock)


def text_lines(template: str, clock: Callable[[], float] = time.time) -> Callable[[Exchange], bytes]:
    """Lines after a template such as `{client} "{method} {target}" {status}`; what is not known is `-`.

    Raises ValueError for an unknown field. Quotes, backslashes and control characters in a value are written
    as `\\xHH`.
    """
    names = [check_field(name) for name in _PLACEHOLDER.findall(template)]
    if not names:
        raise ValueError("a template names at least one field, as in {client}")
    pattern = _PLACEHOLDER.sub(lambda match: _PLACES.get(FIELDS[match[1]].kind, "%b"), template.replace("%", "%%"))
    return compile_line(f"{pattern}\n".encode(), _values(names), _notation(_shown), clock)


def _values(names: Sequence[str]) -> list[str]:
    """The expressions that give fields as they stand in a line, over the names of `_notation`."""
    return [_WRITERS.get(FIELDS[name].kind, "{}").format(FIELDS[name].expression) for name in names]


def _notation(write: Callable[[str | None], bytes]) -> dict[str, object]:
    def write_bytes(value: bytes | None) -> bytes:
        return write(None if value is None else value.decode("utf-8", "backslashreplace"))

    def write_word(value: str | None) -> bytes:
        return write(value) if write is _quoted else write(value).replace(b" ", b"\\x20")

    memos = {"text": Memo(write), "words": Memo(write_word), "octets": Memo(write_bytes)}
    return {"write": write, "nothing": write(None), **memos}


def _quoted(value: str | None) -> bytes:
    """A string of JSON, or null."""
    # A lone surrogate becomes \udcff, and that is an escape of JSON.
    return b"null" if value is None else encode_basestring(value).encode("utf-8", "backslashreplace")


def _shown(value: str | None) -> bytes:
    """A value that cannot be taken for something else."""
    if not value:
        return b"-"
    if not (value.isprintable() and '"' not in value and "\\" not in value):
        value = _UNSAFE.sub(_escaped, value)
    return value.encode("utf-8", "backslashreplace")


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def with_types_in_order(exchange: Exchange) -> Exchange:
    """An exchange that is over, with what a plugin left in it as another type: a line that says so beats none."""
    request = exchange.request
    exchange.user, request.method = str(exchange.user), str(request.method)
    for name in ("raw_path", "query"):
        value: object = getattr(request, name)
        if not isinstance(value, bytes):
            setattr(request, name, str(value).encode())
    messages: tuple[Any, ...] = (request, exchange.response)
    for message in messages:
        if message is not None and not isinstance(message.headers, Headers):
            message.headers = Headers()
    return exchange
