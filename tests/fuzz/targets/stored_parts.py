"""206: what is stored lies where the origin said, and parts put together are the bytes that they came from."""

from __future__ import annotations

from fuzz_input import lines, number, value
from gateway_cache.partial import Parts, announced

from gateway.model import Response

WHOLE = bytes(range(200))


def check(data: bytes) -> None:
    size, *values = lines(data, 6)
    response = Response(206, [("content-range", value(values[0]))])
    found = announced(response, number(size, 200))
    if found is not None:
        assert 0 <= found.pieces[0][0] <= found.total - number(size, 200)
    parts = Parts(len(WHOLE), ())
    for text in values:
        start = number(text[:4], 200)
        end = start + 1 + number(text[4:], 50)
        parts = parts.with_others(Parts(len(WHOLE), ((start, WHOLE[start:end]),)))
    assert all(WHOLE[start : start + len(piece)] == piece for start, piece in parts.pieces)
    assert parts.size <= len(WHOLE)
