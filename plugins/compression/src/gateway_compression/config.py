"""The settings of `compression`: which codings, how hard, for what.

Owns the checks, so that a mistake is found at load and named by its key. Does not know how anything is encoded.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from gateway import PluginConfig, Size

CodingName: TypeAlias = Literal["zstd", "br", "gzip"]

DEFAULT_TYPES = (
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/*+xml",
    "application/yaml",
    "application/toml",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
)
"""What becomes smaller. Pictures, films, archives, PDF and WOFF fonts are compressed already."""

_PATTERN = re.compile(r"[a-z0-9!#$&^_.+*-]+/[a-z0-9!#$&^_.+*-]+").fullmatch


def _check_pattern(value: str) -> str:
    pattern = value.strip().lower()
    if not _PATTERN(pattern):
        raise ValueError(
            f'expected a media type without parameters such as "text/html", "text/*" or "application/*+json", '
            f"not {value!r}"
        )
    return pattern


def _check_distinct(codings: tuple[CodingName, ...]) -> tuple[CodingName, ...]:
    if not codings:
        raise ValueError('expected at least one of "zstd", "br" and "gzip"; to encode nothing, write types = []')
    twice = {coding for coding in codings if codings.count(coding) > 1}
    if twice:
        raise ValueError(f"{', '.join(sorted(twice))} stands there twice")
    return codings


class Levels(PluginConfig):
    """How much work each coding does: more of it makes bodies smaller, and slower."""

    zstd: Annotated[int, Field(ge=1, le=19)] = 3
    """Of zstd: 1 (fastest) to 19 (smallest)."""
    br: Annotated[int, Field(ge=0, le=11)] = 5
    """Of br: 0 (fastest) to 11 (smallest). Below 5 gzip is faster and as small."""
    gzip: Annotated[int, Field(ge=1, le=9)] = 5
    """Of gzip: 1 (fastest) to 9 (smallest)."""


class Settings(PluginConfig):
    """What is encoded, and how."""

    codings: Annotated[tuple[CodingName, ...], AfterValidator(_check_distinct)] = ("zstd", "br", "gzip")
    """The codings on offer. Of those that a client likes equally well the first is taken."""
    levels: Levels = Levels()
    """How much work each does."""
    types: tuple[Annotated[str, AfterValidator(_check_pattern)], ...] = DEFAULT_TYPES
    """Content types to encode, without parameters; `*` stands for anything."""
    min_size: Size = 1024
    """The smallest body that is encoded. One of unknown length is encoded whatever comes."""
    restore_if_match: bool = True
    """Let endpoints compare an ETag in If-Match as it was before it was weakened here."""
    decode: bool = False
    """Decode what an endpoint encoded (gzip, deflate, br, zstd) for clients that did not ask for that coding."""
    max_decoded: Size = 1024**3
    """The most that a body may come to when it is decoded; a larger one is cut. 0: no limit."""
    max_ratio: Annotated[int, Field(ge=0)] = 200
    """How many times larger a body may become when it is decoded, from 1 MiB on; else it is cut. 0: no limit."""
