"""Encoders, decoders and streams: nothing is lost, nothing is held back, nothing grows without a bound."""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway_compression.codecs import CODECS
from gateway_compression.decoders import FREE_BYTES, STEP_BYTES, BoundedDecoder
from gateway_compression.libraries import brotli, zstd
from gateway_compression.streaming import HELD_BYTES, decoded, encoded, with_pauses
from hypothesis import given
from hypothesis import strategies as st

from gateway import ResponseCut

MIB = 1 << 20
PIECES = st.lists(
    st.binary(max_size=300) | st.binary(min_size=1, max_size=3).map(lambda seed: seed * 9999), max_size=6
)
ENCODE = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": brotli.compress,
    b"zstd": zstd.compress,
}
DECODE = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(1) as executor:
        yield executor


def bounded(coding, data, cut=1 << 30, **bounds):
    """What a decoder makes of pieces of so many bytes."""
    decoder = BoundedDecoder(coding, bounds.get("max_bytes", 0), bounds.get("max_ratio", 0))
    for start in range(0, len(data), cut):
        yield from decoder.decode(data[start : start + cut])
    decoder.finish()


@pytest.mark.parametrize("name", list(CODECS))
@given(pieces=PIECES)
def test_pieces_and_flushes_decode_to_what_went_in(name, pieces):
    codec = CODECS[name](name, 3)
    encoder = codec.begin()
    out = b""
    for piece in pieces:
        out += encoder.encode(piece) + encoder.flush()
    out += encoder.finish()
    assert DECODE[name](out) == b"".join(pieces)
    assert DECODE[name](codec.encode(b"".join(pieces))) == b"".join(pieces)


@pytest.mark.parametrize("name", list(CODECS))
def test_what_was_flushed_can_be_decoded(name):
    encoder = CODECS[name](name, 5).begin()
    out = encoder.encode(b"now") + encoder.flush()
    assert b"".join(BoundedDecoder(name.encode(), 0, 0).decode(out)) == b"now"


def test_a_zstd_compressor_is_used_again_once_its_frame_has_ended():
    codec = CODECS["zstd"]("zstd", 3)
    unfinished = codec.begin()
    unfinished.encode(b"left alone")
    first = codec.begin()
    first.finish()
    again = codec.begin()
    assert again._compressor is not unfinished._compressor
    assert zstd.decompress(again.encode(b"anew") + again.finish()) == b"anew"


def test_slow_levels_are_left_to_threads_sooner():
    assert CODECS["br"]("br", 11).in_place_bytes < CODECS["br"]("br", 5).in_place_bytes


@pytest.mark.parametrize("coding", list(ENCODE))
@given(data=st.binary(max_size=2000), cut=st.integers(1, 50))
def test_decoding_does_not_depend_on_where_pieces_are_cut(coding, data, cut):
    assert b"".join(bounded(coding, ENCODE[coding](data), cut)) == data


@pytest.mark.parametrize("coding", list(ENCODE))
def test_a_step_is_bounded_whatever_comes_of_a_piece(coding):
    steps = [len(step) for step in bounded(coding, ENCODE[coding](bytes(4 * MIB)))]
    assert sum(steps) == 4 * MIB
    assert max(steps) <= 2 * STEP_BYTES


@pytest.mark.parametrize("coding", list(ENCODE))
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: b"\xff\xfe" + data]
)
def test_what_is_broken_or_short_cuts(coding, damage):
    with pytest.raises(ResponseCut, match=coding.decode()):
        b"".join(bounded(coding, damage(ENCODE[coding](bytes(range(256)) * 9))))


@pytest.mark.parametrize("coding", list(ENCODE))
@given(data=st.binary(max_size=200))
def test_any_bytes_are_decoded_or_cut(coding, data):
    try:
        b"".join(bounded(coding, data, max_ratio=200))
    except ResponseCut:
        pass


def test_several_members_and_frames_are_one_body():
    assert b"".join(bounded(b"gzip", gzip.compress(b"a") + gzip.compress(b"b"), 7)) == b"ab"
    assert b"".join(bounded(b"zstd", zstd.compress(b"a") + zstd.compress(b"b"), 7)) == b"ab"


def test_deflate_may_lack_its_wrapper_and_nothing_may_follow_it():
    stream = zlib.compressobj(wbits=-15)
    bare = stream.compress(b"bare" * 99) + stream.flush()
    assert b"".join(bounded(b"deflate", bare, 1)) == b"bare" * 99
    with pytest.raises(ResponseCut, match="follows"):
        b"".join(bounded(b"deflate", zlib.compress(b"a") + b"more"))


def test_an_empty_body_is_one():
    assert b"".join(bounded(b"gzip", b"")) == b""


@pytest.mark.parametrize("coding", list(ENCODE))
def test_a_bomb_is_cut_soon(coding):
    bomb = ENCODE[coding](bytes(4 * MIB))
    for bounds in ({"max_ratio": 100}, {"max_bytes": FREE_BYTES}):
        sizes = (len(step) for step in bounded(coding, bomb, **bounds))
        seen: list[int] = []
        with pytest.raises(ResponseCut, match="max_"):
            seen.extend(sizes)
        assert sum(seen) <= max(FREE_BYTES, 100 * len(bomb))


def test_a_window_that_no_client_has_to_have_is_refused():
    parameter = zstd.CompressionParameter
    options = {parameter.window_log: 27, parameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    huge = compressor.compress(b"x" * 100, compressor.FLUSH_BLOCK) + compressor.flush()
    with pytest.raises(ResponseCut, match="zstd"):
        b"".join(bounded(b"zstd", huge))


class Source:
    """A body whose pieces come when the test says so."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self.taken = 0

    def give(self, *pieces: bytes | BaseException | None) -> None:
        for piece in pieces:
            self._queue.put_nowait(piece)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._queue.get()
        self.taken += 1
        if piece is None:
            raise StopAsyncIteration
        if isinstance(piece, BaseException):
            raise piece
        return piece


async def test_what_came_is_flushed_when_nothing_more_is_there():
    source = Source()
    source.give(b"a", b"", b"b")
    pieces = with_pauses(source, 0, never)
    assert [await anext(pieces) for _ in range(3)] == [b"a", b"b", None]
    source.give(b"c")
    assert [await anext(pieces) for _ in range(2)] == [b"c", None]
    source.give(None)
    assert [piece async for piece in pieces] == []


async def test_a_second_flush_waits_for_more_for_a_while():
    source = Source()
    source.give(b"a")
    pieces = with_pauses(source, 3600, never)
    assert [await anext(pieces) for _ in range(2)] == [b"a", None]
    source.give(b"b")
    assert await anext(pieces) == b"b"
    asyncio.get_running_loop().call_soon(source.give, b"c", None)
    assert [piece async for piece in pieces] == [b"c"]


async def test_what_is_known_to_be_there_is_taken_without_a_task():
    source = Source()
    source.give(b"a", b"b", None)
    before = len(asyncio.all_tasks())
    assert [(piece, len(asyncio.all_tasks())) async for piece in with_pauses(source, 0, lambda: True)] == [
        (b"a", before),
        (b"b", before),
    ]


async def test_a_stream_that_is_given_up_leaves_no_task():
    for ending in (b"late", ResponseCut("the endpoint died")):
        source = Source()
        source.give(b"a")
        pieces = with_pauses(source, 0, never)
        assert [await anext(pieces) for _ in range(2)] == [b"a", None]
        source.give(ending)
        await pieces.aclose()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nothing_is_read_ahead_but_one_piece(threads):
    source = Source()
    source.give(*[os.urandom(HELD_BYTES) for _ in range(100)])
    stream = encoded(source, CODECS["gzip"]("gzip", 5), threads, never)
    out = 0
    while out < 10 * HELD_BYTES:
        out += len(await anext(stream))
    await asyncio.sleep(0)
    assert source.taken < 40  # what went out, what zlib holds, and one
    await stream.aclose()


@pytest.mark.parametrize("name", list(CODECS))
async def test_large_pieces_are_encoded_in_threads_and_counted(threads, name):
    body = bytes(range(256)) * 4096
    source = Source()
    source.give(body, b"end", None)
    codec = CODECS[name](name, 1)
    out = [piece async for piece in encoded(source, codec, threads, never)]
    assert DECODE[name](b"".join(out)) == body + b"end"
    assert (codec.bytes_in, codec.bytes_out) == (len(body) + 3, sum(map(len, out)))


@pytest.mark.parametrize("name", list(CODECS))
async def test_a_body_that_fails_never_comes_to_an_end(threads, name):
    source = Source()
    source.give(b"a" * 9000)
    stream = encoded(source, CODECS[name](name, 1), threads, never)
    out = await anext(stream)
    source.give(ResponseCut("the endpoint died"))
    with pytest.raises(ResponseCut):
        await anext(stream)
    decoder = BoundedDecoder(name.encode(), 0, 0)
    assert b"".join(decoder.decode(out)) == b"a" * 9000
    with pytest.raises(ResponseCut, match="too early"):
        decoder.finish()


async def test_a_body_is_decoded_as_it_comes():
    source = Source()
    source.give(*[bytes([byte]) for byte in gzip.compress(b"hello")], None)
    assert [piece async for piece in decoded(source, BoundedDecoder(b"gzip", 0, 0))] == [
        b"h",
        b"e",
        b"l",
        b"l",
        b"o",
    ]
