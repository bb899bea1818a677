"""The access log: whatever a client sends, a line is one line, valid JSON, and no field is another's."""

from __future__ import annotations

import json

from fuzz_exchange import proxied
from fuzz_input import fields, lines
from gateway_access_log.fields import FIELDS
from gateway_access_log.lines import COMBINED, json_lines, text_lines

from gateway.errors import ClientError

AS_JSON, AS_TEXT = json_lines(tuple(FIELDS), lambda: 1714564800.0), text_lines(COMBINED, lambda: 1714564800.0)


def check(data: bytes) -> None:
    method, target, identifier, rest = lines(data, 4)
    exchange = proxied(target, None, b"", fields(rest))
    exchange.request.method = method.decode("latin-1")
    exchange.id = identifier.decode("latin-1")
    exchange.error = ClientError(identifier.decode("utf-8", "surrogateescape"))
    line = AS_JSON(exchange)
    assert line.count(b"\n") == 1
    assert not set(line[:-1]) & set(range(32))
    record = json.loads(line)
    assert list(record) == list(FIELDS)
    assert record["method"] == exchange.request.method
    assert record["id"] == exchange.id
    text = AS_TEXT(exchange)
    assert text.count(b"\n") == 1
    assert not set(text[:-1]) & (set(range(32)) | {127})
    assert text.count(b'"') == 6
    assert text.count(b"\\") == text.count(b"\\x") + text.count(b"\\u")
