"""The short way for ordinary responses: what it recognises, the parser reads the same."""

from __future__ import annotations

from gateway.upstream.response_reader import ResponseReader
from gateway.upstream.whole_response import whole_response


def check(data: bytes) -> None:
    found = whole_response(data, 1024)
    if found is None:
        return
    reader = ResponseReader("app", 1024)
    reader.feed_heads(data)
    assert reader._error is None
    assert reader.is_complete
    assert reader.is_usable
    body = b"".join(reader._chunks)
    assert (reader.status, reader.headers, reader.announced_length, reader.has_server, body) == found
