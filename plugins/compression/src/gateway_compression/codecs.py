"""zstd, br and gzip as this plugin uses them: one interface, one window, compressors that are used again.

Owns the libraries' options and the count of bytes. Does not know HTTP, threads or when to flush.
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway_compression.libraries import GZIP_BITS, brotli, zlib, zstd

WINDOW_LOG = 18
"""256 KiB, for zstd and br: larger windows cost memory for each stream, and gain 2 % on bodies of a mebibyte."""

_POOL_SIZE = 8
_FAST = {"zstd": (4, 128 * 1024), "br": (5, 16 * 1024), "gzip": (6, 64 * 1024)}
"""Up to which level a coding is fast, and how many bytes it then encodes in about half a millisecond.

A hop to a thread costs 80 µs (`python -m perf.codecs`), and holds nobody up.
"""
_SLOW_BYTES = 2 * 1024


class Encoder(Protocol):
    """One body on its way. Not to be used by two threads at once."""

    def encode(self, data: bytes) -> bytes:
        """Take a piece; what came of it so far, perhaps nothing."""
        ...

    def flush(self) -> bytes:
        """All that is still held, so that everything taken can be decoded."""
        ...

    def finish(self) -> bytes:
        """The end."""
        ...


class Codec:
    """A coding at a level, and what it has done in this worker."""

    def __init__(self, name: str, level: int) -> None:
        self.name = name
        self.level = level
        fast_level, fast_bytes = _FAST[name]
        self.in_place_bytes = fast_bytes if level <= fast_level else _SLOW_BYTES
        """What is encoded where it is; more is left to a thread."""
        self.bytes_in = 0
        """Body bytes that were encoded."""
        self.bytes_out = 0
        """What they came to."""

    def begin(self) -> Encoder:
        """An encoder for one body."""
        raise NotImplementedError

    def encode(self, data: bytes) -> bytes:
        """A whole body at once."""
        encoder = self.begin()
        return encoder.encode(data) + encoder.finish()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} level {self.level}: {self.bytes_in} → {self.bytes_out} bytes>"


class Gzip(Codec):
    """By zlib-ng: twice as fast as zlib for the same size."""

    def begin(self) -> Encoder:
        """An encoder for one body. What it holds cannot be used again, and is made in a few µs."""
        return _GzipEncoder(self.level)

    def encode(self, data: bytes) -> bytes:
        """A whole body at once."""
        return bytes(zlib.compress(data, self.level, GZIP_BITS))


class _GzipEncoder:
    __slots__ = ("_stream", "encode")

    def __init__(self, level: int) -> None:
        self._stream = zlib.compressobj(level, zlib.DEFLATED, GZIP_BITS)
        self.encode = self._stream.compress

    def flush(self) -> bytes:
        return bytes(self._stream.flush(zlib.Z_SYNC_FLUSH))

    def finish(self) -> bytes:
        return bytes(self._stream.flush(zlib.Z_FINISH))


class Brotli(Codec):
    """By Google's library."""

    def begin(self) -> Encoder:
        """An encoder for one body; it cannot be used again."""
        return _BrotliEncoder(self.level)


class _BrotliEncoder:
    __slots__ = ("encode", "finish", "flush")

    def __init__(self, level: int) -> None:
        stream = brotli.Compressor(quality=level, lgwin=WINDOW_LOG)
        self.encode, self.flush, self.finish = stream.process, stream.flush, stream.finish


class Zstd(Codec):
    """By the library of Python 3.14. Compressors are used again: a new one has a mebibyte to set up."""

    def __init__(self, name: str, level: int) -> None:
        super().__init__(name, level)
        parameter = zstd.CompressionParameter
        self._options = {parameter.compression_level: level, parameter.window_log: WINDOW_LOG}
        self._idle: list[Any] = []

    def begin(self) -> Encoder:
        """An encoder for one body. Its compressor comes back when it is finished, and is dropped if it never is."""
        return _ZstdEncoder(self, self.take())

    def encode(self, data: bytes) -> bytes:
        """A whole body at once."""
        compressor = self.take()
        encoded: bytes = compressor.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)
        self.give_back(compressor)
        return encoded

    def take(self) -> Any:
        """A compressor at the beginning of a frame."""
        try:
            return self._idle.pop()
        except IndexError:
            return zstd.ZstdCompressor(options=self._options)

    def give_back(self, compressor: Any) -> None:
        """Keep a compressor that has ended its frame."""
        if len(self._idle) < _POOL_SIZE:
            self._idle.append(compressor)


class _ZstdEncoder:
    __slots__ = ("_codec", "_compressor")

    def __init__(self, codec: Zstd, compressor: Any) -> None:
        self._codec = codec
        self._compressor = compressor

    def encode(self, data: bytes) -> bytes:
        return bytes(self._compressor.compress(data))

    def flush(self) -> bytes:
        return bytes(self._compressor.flush(zstd.ZstdCompressor.FLUSH_BLOCK))

    def finish(self) -> bytes:
        compressor, self._compressor = self._compressor, None
        rest = bytes(compressor.flush(zstd.ZstdCompressor.FLUSH_FRAME))
        self._codec.give_back(compressor)
        return rest


CODECS: dict[str, type[Codec]] = {"zstd": Zstd, "br": Brotli, "gzip": Gzip}
