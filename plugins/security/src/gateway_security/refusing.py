"""How the plugins that authenticate refuse: the gateway's error page for the client, a line for the log.

Owns where credentials stand, which requests are a browser's preflights, and what of a client's words may stand in
the log. Does not decide whom to refuse.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway import ClientError, Exchange, Request, Response, error_response
from gateway_security.refusal_log import RefusalLog

MAX_SHOWN = 100
"""Characters of a path or a name that a client chose."""


class Refusals:
    """Answers refusals of one plugin."""

    def __init__(self, plugin: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._plugin = plugin
        self._log = RefusalLog(plugin, clock)

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
        self._log.tell(exchange, f"answered {status} to", why)


def credentials_of(raw: list[tuple[bytes, bytes]]) -> tuple[bytes, int]:
    """The last field Authorization, and how many there are: with more than one nobody knows which one counts."""
    # hot: whoever is known
    given, count = b"", 0
    for name, value in raw:
        if name == b"authorization":
            given = value
            count += 1
    return given, count


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
