"""Bodies of endpoints in a coding: decoded in bounded steps, the same however they are cut, or the response is."""

from __future__ import annotations

from fuzz_input import lines, number
from gateway_compression.decoders import STEP_BYTES, BoundedDecoder

from gateway.errors import ResponseCut

CODINGS = (b"gzip", b"deflate", b"br", b"zstd")
MOST = 300_000


def decoded(coding: bytes, pieces: list[bytes]) -> bytes | None:
    """The body, or None if it was cut."""
    decoder, found = BoundedDecoder(coding, MOST, 0), b""
    try:
        for piece in pieces:
            for step in decoder.decode(piece):
                assert len(step) <= 2 * STEP_BYTES
                found += step
                assert len(found) <= MOST
        decoder.finish()
    except ResponseCut:
        return None
    return found


def check(data: bytes) -> None:
    said, body = lines(data, 2)
    coding, cut = CODINGS[len(said) % len(CODINGS)], number(said, len(body))
    whole = decoded(coding, [body])
    assert decoded(coding, [body[:cut], body[cut:]]) == whole
    if len(body) <= 64:
        assert decoded(coding, [bytes((byte,)) for byte in body]) == whole
