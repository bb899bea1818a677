"""`python -m perf.codecs`: what each library makes of text bodies, and how long that takes it.

The table that the levels and libraries of plugins/compression were chosen by. Each body is encoded whole, by one
thread; times are CPU time, the least of many tries. Libraries that are not installed are left out:
`pip install isal brotlicffi zstandard` for all of them.
"""

from __future__ import annotations

import asyncio
import platform
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import click

from perf.texts import bodies

Encode: TypeAlias = Callable[[bytes], bytes]

SIZES = {"2 KiB": 2 << 10, "32 KiB": 32 << 10, "1 MiB": 1 << 20}
GZIP_BITS = 31
WINDOW_LOG = 18
"""As in the plugin; others are named."""
PACKAGES = ("zlib-ng", "isal", "brotli", "brotlicffi", "backports.zstd", "zstandard")


@dataclass(frozen=True, slots=True)
class Figure:
    """One library at one level with bodies of one size."""

    microseconds: float
    ratio: float


def contenders() -> Iterator[tuple[str, str, Encode]]:
    """Coding, name and function of each library and level that is installed."""
    deflating = (("zlib", zlib, (1, 4, 6, 9)), ("zlib-ng", _module("zlib_ng.zlib_ng"), range(1, 10)))
    for name, module, levels in (*deflating, ("isal", _module("isal.isal_zlib"), range(4))):
        for level in levels if module else ():
            yield "gzip", f"{name} {level}", _deflating(module, level)
    for name in ("brotli", "brotlicffi"):
        module = _module(name)
        for level in range(1, 8) if module else ():
            yield "br", f"{name} {level}", _brotli(module, level, WINDOW_LOG)
        if module:
            yield "br", f"{name} 5, window 2^22", _brotli(module, 5, 22)
    module = _module("compression.zstd") or _module("backports.zstd")
    for level in (1, 2, 3, 4, 5, 6, 7, 9) if module else ():
        yield "zstd", f"backports.zstd {level}", _zstd(module, level, WINDOW_LOG)
    if module:
        yield "zstd", "backports.zstd 3, window 2^21", _zstd(module, 3, 21)
    module = _module("zstandard")
    for level in (1, 3, 5) if module else ():
        yield "zstd", f"zstandard {level}", module.ZstdCompressor(level=level).compress


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _deflating(module: Any, level: int) -> Encode:
    def encode(data: bytes) -> bytes:
        stream = module.compressobj(level, 8, GZIP_BITS)
        return bytes(stream.compress(data) + stream.flush())

    return encode


def _brotli(module: Any, level: int, window_log: int) -> Encode:
    def encode(data: bytes) -> bytes:
        stream = module.Compressor(quality=level, lgwin=window_log)
        return bytes(stream.process(data) + stream.finish())

    return encode


def _zstd(module: Any, level: int, window_log: int) -> Encode:
    parameter = module.CompressionParameter
    compressor = module.ZstdCompressor(
        options={parameter.compression_level: level, parameter.window_log: window_log}
    )

    def encode(data: bytes) -> bytes:
        return bytes(compressor.compress(data, compressor.FLUSH_FRAME))

    return encode


def measure(encode: Encode, texts: Mapping[str, bytes], size: int, seconds: float) -> Figure:
    """The least CPU time of all tries, over one body of each kind; and how many times smaller they became."""
    spent, before, after = 0.0, 0, 0
    for text in texts.values():
        start = len(text) // 3
        body = text[start : start + size]
        least, end = float("inf"), time.perf_counter() + seconds / len(texts)
        while time.perf_counter() < end:
            began = time.thread_time()
            encoded = encode(body)
            least = min(least, time.thread_time() - began)
        spent, before, after = spent + least, before + len(body), after + len(encoded)
    return Figure(spent / len(texts) * 1e6, before / after)


async def hop_microseconds(rounds: int = 3000) -> float:
    """The CPU time that it takes to let a thread do nothing."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as threads:
        await loop.run_in_executor(threads, len, b"")
        began = time.process_time()
        for _ in range(rounds):
            await loop.run_in_executor(threads, len, b"")
        return (time.process_time() - began) / rounds * 1e6


def versions() -> str:
    """Python and the packages that are measured."""
    found = [f"Python {platform.python_version()}", f"zlib {zlib.ZLIB_RUNTIME_VERSION}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            pass
    return ", ".join(found)


@click.command()
@click.option("--seconds", default=0.3, show_default=True, help="For each library, level and size.")
def main(seconds: float) -> None:
    """Print the table, as Markdown."""
    texts = bodies()
    click.echo(f"{datetime.now(UTC):%Y-%m-%d}, {versions()}.\n")
    click.echo("| coding | library and level |" + "".join(f" {name} | |" for name in SIZES))
    click.echo("| --- | --- |" + " ---: | ---: |" * len(SIZES))
    for coding, name, encode in contenders():
        figures = [measure(encode, texts, size, seconds) for size in SIZES.values()]
        cells = "".join(f" {figure.microseconds:,.0f} µs | {figure.ratio:.2f} |" for figure in figures)
        click.echo(f"| {coding} | {name} |{cells}")
    click.echo(f"\nA hop to a thread and back: {asyncio.run(hop_microseconds()):.0f} µs.")


if __name__ == "__main__":
    main()
