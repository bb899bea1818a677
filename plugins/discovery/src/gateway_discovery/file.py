"""Endpoints from a file that something else writes: a list `endpoints` as in a site file, in TOML or JSON.

Owns reading it. It is looked at now and then rather than watched by the system: that works on every file system,
and a file that is replaced by another one is nothing special.
"""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from gateway import EndpointSettings
from gateway_discovery.lookup import Found, NotFound

_ENDPOINTS = TypeAdapter(tuple[EndpointSettings, ...])


class FileLookup:
    """A file, read anew when it has changed."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._stamp: tuple[int, int, int] | None = None
        self._found: tuple[EndpointSettings, ...] = ()

    async def look(self) -> Found:
        """What stands in it. Raises NotFound."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> Found:
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._found = read_endpoints(self._path)
                self._stamp = stamp
        except OSError as error:
            raise NotFound(f"cannot be read: {error.strerror}") from None
        return Found(self._found, self._seconds)


def read_endpoints(path: Path) -> tuple[EndpointSettings, ...]:
    """The endpoints in a file. Raises NotFound that says what is wrong, and OSError."""
    text = path.read_bytes()
    try:
        data: Any = orjson.loads(text) if path.suffix == ".json" else tomllib.loads(text.decode())
    except ValueError as error:
        raise NotFound(f"not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from None
    listed = data.get("endpoints") if isinstance(data, dict) else data
    if not isinstance(listed, list):
        raise NotFound("expected a list: endpoints = [ … ]")
    try:
        return _ENDPOINTS.validate_python([{"url": item} if isinstance(item, str) else item for item in listed])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise NotFound(f"endpoints{place}: {first['msg'].removeprefix('Value error, ')}") from None
