"""Encode and decode bodies while they arrive.

Pulled by whoever sends: nothing is read ahead but the one piece that is waited for. Owns when a stream is flushed
and what is done in a thread. Does not know codings (`codecs`, `decoders`).

When to flush. A flush ends a block, so one for each small piece would undo the encoding; none at all would hold
back what a client waits for. So what was taken is flushed when nothing more is there right now, but not sooner than
FLUSH_SECONDS after the last flush: an event that comes after a pause goes out at once, and of pieces that come in
quick succession many are encoded together, each at most FLUSH_SECONDS late.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import aclosing

from gateway_compression.codecs import Codec
from gateway_compression.decoders import BoundedDecoder

FLUSH_SECONDS = 0.01
SLICE_BYTES = 256 * 1024
"""A thread gets so much at once, and what comes of it goes on before the next."""
HELD_BYTES = 4 * 1024
"""Less output than this waits for more, or for a flush: a gzip header alone is not worth a write."""


async def encoded(
    body: AsyncIterable[bytes], codec: Codec, threads: Executor, has_data: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """A body in a coding. `has_data` may say that the next piece is there already; False says nothing."""
    loop = asyncio.get_running_loop()
    encoder = codec.begin()
    untold = 0
    """Bytes that the encoder may hold and would have to work on."""
    held: list[bytes] = []

    async def work(size: int, step: Callable[..., bytes], *arguments: bytes) -> bytes:
        if size > codec.in_place_bytes:
            done = await loop.run_in_executor(threads, step, *arguments)
        else:
            done = step(*arguments)
        codec.bytes_out += len(done)
        return done

    async with aclosing(with_pauses(body, FLUSH_SECONDS, has_data)) as pieces:
        async for piece in pieces:
            if piece is None:
                yield b"".join((*held, await work(untold, encoder.flush)))
                held, untold = [], 0
                continue
            codec.bytes_in += len(piece)
            for start in range(0, len(piece), SLICE_BYTES):
                part = piece if len(piece) <= SLICE_BYTES else piece[start : start + SLICE_BYTES]
                untold += len(part)
                done = await work(len(part), encoder.encode, part)
                if done:
                    untold = 0
                    held.append(done)
                    if sum(map(len, held)) >= HELD_BYTES:
                        yield b"".join(held)
                        held = []
    yield b"".join((*held, await work(untold, encoder.finish)))


async def with_pauses(
    body: AsyncIterable[bytes], seconds: float, has_data: Callable[[], bool]
) -> AsyncGenerator[bytes | None, None]:
    """The pieces of a body, and None where something was taken and nothing more is there right now.

    Two of the latter are at least so many seconds apart.
    """
    loop = asyncio.get_running_loop()
    pieces = aiter(body)
    arriving: asyncio.Task[bytes | None] | None = None
    next_pause, is_owed = 0.0, False
    try:
        while True:
            if is_owed and not has_data():
                arriving = loop.create_task(_next(pieces))
                await asyncio.wait((arriving,), timeout=max(0.0, next_pause - loop.time()))
                if not arriving.done():
                    next_pause, is_owed = loop.time() + seconds, False
                    yield None
                piece = await arriving
                arriving = None
            else:
                piece = await _next(pieces)
            if piece is None:
                return
            if piece:
                is_owed = True
                yield piece
    finally:
        if arriving is not None:
            _drop(arriving)


async def decoded(body: AsyncIterable[bytes], decoder: BoundedDecoder) -> AsyncIterator[bytes]:
    """A body out of its coding. Raises ResponseCut if it is broken, ends too early or becomes too large."""
    async for piece in body:
        for step in decoder.decode(piece):
            yield step
            await asyncio.sleep(0)  # a small piece may have many steps, and others have their turn between them
    decoder.finish()


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        return None


def _drop(arriving: asyncio.Task[bytes | None]) -> None:
    """Nobody waits for it any more."""
    if not arriving.cancel() and not arriving.cancelled():
        arriving.exception()  # looked at, so that asyncio does not report it as lost
