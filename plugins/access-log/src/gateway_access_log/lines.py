"""From a finished exchange to a line: JSON, or text after a template.

Owns the notation and the escaping. Nothing that a client sends can end a line or forge a field.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Sequence

import orjson

from gateway import Exchange
from gateway_access_log.fields import FIELDS, compile_line

COMBINED = (
    '{client} - - [{clf_time}] "{method} {target} {protocol}" {status} {bytes_out} "{referer}" "{user_agent}"'
)
"""The Combined Log Format of Apache and nginx."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]')


def check_field(name: str) -> str:
    """The name, if there is such a field. Raises ValueError that names the nearest."""
    if name in FIELDS:
        return name
    close = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f" (known: {', '.join(FIELDS)})"
    raise ValueError(f"unknown field {name!r}{hint}")


def json_lines(fields: Sequence[str], clock: Callable[[], float] = time.time) -> Callable[[Exchange], bytes]:
    """Lines of JSON with these fields, in this order; what is not known is null."""
    items = ", ".join(f"{name!r}: {FIELDS[name].expression}" for name in fields)
    names = {"dumps": orjson.dumps, "newline": orjson.OPT_APPEND_NEWLINE}
    return compile_line(f"dumps({{{items}}}, None, newline)", names, clock)


def text_lines(template: str, clock: Callable[[], float] = time.time) -> Callable[[Exchange], bytes]:
    """Lines after a template such as `{client} "{method} {target}" {status}`; what is not known is `-`.

    Raises ValueError for an unknown field. Quotes, backslashes and control characters in a value are written
    as `\\xHH`.
    """
    names = [check_field(name) for name in _PLACEHOLDER.findall(template)]
    if not names:
        raise ValueError("a template names at least one field, as in {client}")
    pattern = _PLACEHOLDER.sub("%s", template.replace("%", "%%")) + "\n"
    values = [
        f"({FIELDS[name].expression})" if FIELDS[name].is_plain else f"shown({FIELDS[name].expression})"
        for name in names
    ]
    result = f'(pattern % ({", ".join(values)},)).encode("utf-8", "backslashreplace")'
    return compile_line(result, {"pattern": pattern, "shown": _shown}, clock)


def _shown(value: object) -> object:
    """A value that cannot be taken for something else."""
    if value is None or value == "":
        return "-"
    if isinstance(value, str) and not (value.isprintable() and '"' not in value and "\\" not in value):
        return _UNSAFE.sub(_escaped, value)
    return value


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
