"""How the plugins that authenticate refuse: the gateway's error page for the client, a bounded line for the log.

Owns wording and bounds of that log, and which requests are a browser's preflights. Does not decide whom to refuse.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway import ClientError, Exchange, Request, Response, error_response

log = logging.getLogger("gateway.security")

MAX_LINES = 20
WINDOW_SECONDS = 10.0
MAX_SHOWN = 100
"""Characters of a path or a name that a client chose."""


class Refusals:
    """Answers refusals of one plugin; of many in a short time the log shows the first and counts the others."""

    def __init__(self, plugin: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._plugin = plugin
        self._clock = clock
        self._began = clock()
        self._count = 0

    def __call__(self, exchange: Exchange, status: int, why: str, challenge: str = "") -> Response:
        """The error page of a status, with a challenge in WWW-Authenticate; `why` is for log and record alone."""
        self.record(exchange, status, why)
        response = error_response(exchange, ClientError(why, status=status))
        if challenge:
            response.headers.add(b"www-authenticate", challenge)
        return response

    def record(self, exchange: Exchange, status: int, why: str) -> None:
        """Take down a refusal that is answered in another way."""
        exchange.note(self._plugin, f"refused: {why}")
        now = self._clock()
        if now - self._began >= WINDOW_SECONDS:
            if self._count > MAX_LINES:
                left_out = self._count - MAX_LINES
                log.warning("%s: %d more refusals before this one are not shown", self._plugin, left_out)
            self._began, self._count = now, 0
        self._count += 1
        if self._count <= MAX_LINES:
            request = exchange.request
            path = shown(request.host.encode("latin-1") + request.raw_path)
            log.warning(
                "%s: request %s: %s from %s for %s gets %d: %s",
                self._plugin, exchange.id, request.method, request.client, path, status, why,
            )  # fmt: skip


def shown(value: bytes) -> str:
    """What a client chose, as it may stand in a line of the log."""
    text = value[:MAX_SHOWN].decode("utf-8", "backslashreplace")
    return f"{text!r}…" if len(value) > MAX_SHOWN else repr(text)


def is_preflight(request: Request) -> bool:
    """Whether a browser asks for leave to send another request; it sends no credentials with that (Fetch 4.8)."""
    if request.method != "OPTIONS":
        return False
    headers = request.headers
    return b"origin" in headers and b"access-control-request-method" in headers
