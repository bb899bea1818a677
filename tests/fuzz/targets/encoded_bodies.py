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
    ways = [[body], [body[:cut], body[cut:]]]
    if len(body) <= 64:
        ways.append([bytes((byte,)) for byte in body])
    found = {decoded(coding, pieces) for pieces in ways}
    # libzstd compares the size that a frame announces with its own only if it gets it in one piece.
    assert len(found - {None} if coding == b"zstd" else found) == 1 or found == {None}
