"""Keys that an issuer publishes: fetched in the background, kept while it is away, and fetched anew for a new one.

Owns when that is and how a document gets here. Does not know what is in it (`jwt_keys`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway_security.jwt_keys import Key

log = logging.getLogger("gateway.security")

MAX_BYTES = 1024 * 1024


class KeySource:
    """The keys of one document, which changes now and then."""

    def __init__(
        self,
        read: Callable[[], bytes],
        parse: Callable[[bytes], tuple[Key, ...]],
        *,
        pause: float,
        patience: float,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys: tuple[Key, ...] = ()
        self._read, self._parse, self._changed = read, parse, changed
        self._pause, self._patience = pause, patience
        self._clock = clock
        self._next = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._document = b""
        self._trouble = ""

    def load(self) -> None:
        """Have the keys, now. Raises what reading or parsing raises."""
        self._take(self._read())

    def _take(self, document: bytes) -> None:
        if document == self._document:
            return
        self.keys = self._parse(document)
        self._document = document
        self._changed()
        log.info("jwt: %d keys for tokens", len(self.keys))

    async def refresh(self) -> None:
        """Have the latest keys, unless they were asked for a moment ago; all who wait share one question.

        A failure is logged and leaves the keys as they are. Who has waited long enough goes on with those.
        """
        task = self._task
        if task is None:
            if self._clock() < self._next:
                return
            self._next = self._clock() + self._pause
            task = self._task = asyncio.create_task(self._refresh())
        await asyncio.wait((task,), timeout=self._patience)  # name resolution knows no timeout

    async def _refresh(self) -> None:
        try:
            self._take(await asyncio.to_thread(self._read))
        except (OSError, ValueError) as error:
            self._complain(str(error) or type(error).__name__)
        else:
            self._trouble = ""
        finally:
            self._task = None

    def _complain(self, what: str) -> None:
        if what != self._trouble:
            kept = "the keys stay as they were" if self.keys else "no token can be checked"
            log.error("jwt: the keys cannot be had, %s: %s", kept, what)
        self._trouble = what

    async def run(self, seconds: float) -> None:
        """Refresh for ever; until there are keys at all, as soon as may be."""
        while True:
            await asyncio.sleep(seconds if self.keys else min(seconds, self._pause))
            await self.refresh()

    def __repr__(self) -> str:
        return f"<KeySource: {len(self.keys)} keys>"


def file_reader(path: Path) -> Callable[[], bytes]:
    """A function that reads a file."""

    def read() -> bytes:
        return path.read_bytes()

    return read


def url_reader(url: str, seconds: float) -> Callable[[], bytes]:
    """A function that fetches a URL within so many seconds. It follows no redirect, and raises OSError."""
    import http.client  # here: no other plugin of the package should pay for them
    import urllib.error
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        """A redirect could lead from https to anywhere, file included."""

        def redirect_request(self, *arguments: Any) -> None:
            return None

    handlers: list[Any] = [NoRedirect]
    if url.startswith("http:"):
        handlers.append(urllib.request.ProxyHandler({}))  # it stays on this machine
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(url, headers={"accept": "application/json", "user-agent": "gateway"})

    def read() -> bytes:
        deadline = time.monotonic() + seconds
        try:
            with opener.open(request, timeout=seconds) as answer:
                return _read_all(answer, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(f"{url}: status {error.code}") from None
        except urllib.error.URLError as error:
            raise OSError(f"{url}: {error.reason}") from None
        except http.client.HTTPException as error:
            raise OSError(f"{url}: {error!r}") from None

    return read


def _read_all(answer: Any, deadline: float) -> bytes:
    data = bytearray()
    while piece := answer.read1(65536):
        data += piece
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("it takes too long")
    return bytes(data)
