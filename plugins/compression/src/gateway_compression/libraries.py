"""The libraries of the codings, as untyped as they come, and the constants that only they need.

Owns where each is found. Does not use them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import brotli as _brotli  # type: ignore[import-untyped]
import zlib_ng.zlib_ng as _zlib

brotli: Any = _brotli
zlib: Any = _zlib
zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
"""Part of Python from 3.14 on."""

GZIP_BITS = 15 + 16
"""The largest window, within a gzip header and trailer."""
ZLIB_BITS = 15
RAW_DEFLATE_BITS = -15
