"""Decode gzip, deflate, br and zstd in steps of bounded size, and know when a body becomes too large.

Whatever comes in, a step gives little more than STEP_BYTES, and nothing is read ahead. What is broken, or ends too
early, raises ResponseCut: by then the head is gone, and the client must not take the rest for the whole. Does not
know who waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from gateway import ResponseCut
from gateway_compression.libraries import GZIP_BITS, RAW_DEFLATE_BITS, ZLIB_BITS, brotli, zlib, zstd

STEP_BYTES = 64 * 1024
FREE_BYTES = 1024 * 1024
"""A body may become so large before its ratio counts: small ones are often of one kind throughout."""

_ZSTD_WINDOW_LOG = 23
"""8 MiB, the most that a sender of this coding may ask a decoder for (RFC 9659)."""

_BROKEN = (zlib.error, brotli.error, zstd.ZstdError)


class Decoder(Protocol):
    """One body on its way. The methods raise an error of the library for what is broken."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Take a piece; what comes of it, in pieces of little more than STEP_BYTES."""
        ...

    def is_complete(self) -> bool:
        """Whether the body may end here."""
        ...


class Bounds:
    """How large a body may become. Raises ResponseCut when it has become larger."""

    __slots__ = ("_max_bytes", "_max_ratio", "bytes_in", "bytes_out")

    def __init__(self, max_bytes: int, max_ratio: int) -> None:
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self.bytes_in = self.bytes_out = 0

    def count(self, decoded: int) -> None:
        """So many bytes more."""
        self.bytes_out += decoded
        if self._max_bytes and self.bytes_out > self._max_bytes:
            raise ResponseCut(f"the body decodes to more than max_decoded, {self._max_bytes} bytes")
        if self._max_ratio and self.bytes_out > max(FREE_BYTES, self._max_ratio * self.bytes_in):
            raise ResponseCut(f"the body decodes to more than max_ratio, {self._max_ratio} times its size")


class BoundedDecoder:
    """A decoder whose output is counted and whose failures cut the response."""

    __slots__ = ("_bounds", "_coding", "_decoder")

    def __init__(self, coding: bytes, max_bytes: int, max_ratio: int) -> None:
        self._coding = coding.decode()
        self._decoder = _DECODERS[coding]()
        self._bounds = Bounds(max_bytes, max_ratio)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What a piece decodes to, step by step. Raises ResponseCut."""
        self._bounds.bytes_in += len(data)
        try:
            for piece in self._decoder.decode(data):
                self._bounds.count(len(piece))
                yield piece
        except _BROKEN as error:
            raise ResponseCut(f"the endpoint's {self._coding} is broken: {error}") from error

    def finish(self) -> None:
        """The body has ended. Raises ResponseCut if what was decoded has not."""
        if self._bounds.bytes_in and not self._decoder.is_complete():
            raise ResponseCut(f"the endpoint's {self._coding} ends too early")


class Inflating:
    """gzip, with any number of members (RFC 1952 2.2); or, for others, one stream with the given window bits."""

    __slots__ = ("_begin", "_has_members", "_stream")

    def __init__(self, bits: int = GZIP_BITS) -> None:
        self._begin: Callable[[], Any] = lambda: zlib.decompressobj(bits)
        self._has_members = bits == GZIP_BITS
        self._stream: Any = self._begin()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """In steps. Bytes behind the end are those of a further member, or broken."""
        while data:
            if self._stream.eof:
                if not self._has_members:
                    raise zlib.error("something follows its end")
                self._stream = self._begin()
            piece = self._stream.decompress(data, STEP_BYTES)
            while piece:
                yield piece
                rest = self._stream.unconsumed_tail
                if self._stream.eof or not (rest or len(piece) == STEP_BYTES):
                    break
                piece = self._stream.decompress(rest, STEP_BYTES)
            data = self._stream.unused_data if self._stream.eof else b""

    def is_complete(self) -> bool:
        """Whether a member has just ended."""
        return bool(self._stream.eof)


class Deflated:
    """deflate: a zlib stream (RFC 9110 8.4.1.2), or a bare one, for which many take it; the first bytes tell."""

    __slots__ = ("_head", "_stream")

    def __init__(self) -> None:
        self._head = b""
        self._stream: Inflating | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        """In steps."""
        if self._stream is None:
            self._head = data = self._head + data
            if len(data) < 2:
                return
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950 2.2
            self._stream = Inflating(ZLIB_BITS if is_zlib else RAW_DEFLATE_BITS)
        yield from self._stream.decode(data)

    def is_complete(self) -> bool:
        """Whether the stream has ended."""
        return self._stream is not None and self._stream.is_complete()


class Brotlied:
    """br."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """In steps."""
        while True:
            # The library stops once its output is as large as the limit; it grows by doubling from 32 KiB.
            piece = self._stream.process(data, output_buffer_limit=STEP_BYTES)
            if piece:
                yield piece
            # It may have taken all input and yet hold output, which only asking again shows.
            if self._stream.is_finished() or (not piece and self._stream.can_accept_more_data()):
                return
            data = b""

    def is_complete(self) -> bool:
        """Whether the stream has ended."""
        return bool(self._stream.is_finished())


class Zstandard:
    """zstd, with any number of frames (RFC 8878 3.1)."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = self._begin()

    def _begin(self) -> Any:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})

    def decode(self, data: bytes) -> Iterator[bytes]:
        """In steps."""
        while data:
            if self._stream.eof:
                self._stream = self._begin()
            while True:
                piece = self._stream.decompress(data, STEP_BYTES)
                data = b""
                if piece:
                    yield piece
                if self._stream.eof or self._stream.needs_input:
                    break
            if self._stream.eof:
                data = self._stream.unused_data

    def is_complete(self) -> bool:
        """Whether a frame has just ended."""
        return bool(self._stream.eof)


_DECODERS: dict[bytes, Callable[[], Decoder]] = {
    b"gzip": Inflating,
    b"deflate": Deflated,
    b"br": Brotlied,
    b"zstd": Zstandard,
}
