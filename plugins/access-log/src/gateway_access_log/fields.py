"""The fields of a line: what each means, and how it is read from a finished exchange.

Owns names, meanings and expressions. Does not know how a line is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from gateway import Attempt, Exchange

CLIENT_LEFT = 499
PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2", "3": "HTTP/3"}


class Kind(Enum):
    """What an expression gives, so that each notation knows how to write it."""

    NUMBER = "a whole number"
    MILLISECONDS = "a number of them"
    WRITTEN = "bytes as they stand in a line"
    STAMP = "bytes that hold nothing to escape"
    NAME = "text or None, often the same"
    WORD = "the same, and stands without quotes in logs of text: a space would begin the next field"
    OCTETS = "bytes or None, often the same"
    UNIQUE = "text that hardly comes twice"


class Field(NamedTuple):
    """One field. `expression` is Python over the locals below, the names of `_names`, and `nothing`."""

    meaning: str
    expression: str
    kind: Kind = Kind.NAME


_TARGET = 'request.raw_path + b"?" + request.query if request.query else request.raw_path'
_SPENT = "last.ended - last.started if len(attempts) == 1 and last.ended else spent(attempts, exchange.ended)"

FIELDS: dict[str, Field] = {
    "time": Field(
        "when the request came, in UTC: `2024-05-01T12:00:00.000Z`", "iso(clock() - seconds)", Kind.STAMP
    ),
    "clf_time": Field("the same, as the Common Log Format has it", "clf(clock() - seconds)", Kind.STAMP),
    "id": Field("the request id, which error pages and the gateway's own log show", "exchange.id", Kind.UNIQUE),
    "client": Field("address of the client", "request.client"),
    "user": Field("who the client is proven to be, by `basic-auth` or `jwt`", "exchange.user or None", Kind.WORD),
    "peer": Field("address of the TCP peer: a proxy's, if the client is behind one", "request.peer"),
    "listener": Field("the listener's name or address", "exchange.listener"),
    "scheme": Field("`http`, `https`, `ws` or `wss`", "request.scheme"),
    "method": Field("the method", "request.method"),
    "host": Field("the Host without its port, in lower case", "request.host"),
    "target": Field("path and query as they came", _TARGET, Kind.OCTETS),
    "protocol": Field("`HTTP/1.1`", "PROTOCOLS.get(request.http_version)"),
    "status": Field(
        "the status that the client got; 499 if it left before there was one",
        "response.status if response is not None else CLIENT_LEFT",
        Kind.NUMBER,
    ),
    "bytes_in": Field("bytes of the request body", "exchange.bytes_received", Kind.NUMBER),
    "bytes_out": Field("bytes of the response body that were sent", "exchange.bytes_sent", Kind.NUMBER),
    "duration_ms": Field(
        "from the arrival to the last byte of the response", "seconds * 1e3", Kind.MILLISECONDS
    ),
    "route": Field("the route's name", "exchange.route.name"),
    "upstream": Field("the upstream, if it was asked", "exchange.upstream.name if last else None"),
    "endpoint": Field("the endpoint of the last attempt", "last.endpoint.name if last else None"),
    "attempts": Field("how many attempts there were", "len(attempts)", Kind.NUMBER),
    "upstream_ms": Field(
        "what all attempts took", f'b"%.3f" % (({_SPENT}) * 1e3) if last else nothing', Kind.WRITTEN
    ),
    "user_agent": Field("the header User-Agent", 'headers.get(b"user-agent")', Kind.OCTETS),
    "referer": Field("the header Referer", 'headers.get(b"referer")', Kind.OCTETS),
    "error": Field(
        "what went wrong, if something did",
        "write(failure(exchange.error)) if exchange.error else nothing",
        Kind.WRITTEN,
    ),
    "answered_by": Field(
        "the plugin that answered in an endpoint's stead",
        "text[exchange.answered_by] if exchange.notes else nothing",
        Kind.WRITTEN,
    ),
}  # fmt: skip
"""Every field, by name."""

DEFAULT_FIELDS = tuple(
    name for name in FIELDS if name not in ("clf_time", "peer", "listener", "scheme", "upstream")
)

_LOCALS = {
    "headers": "headers = dict(request.headers.raw)",
    "request": "request = exchange.request",
    "response": "response = exchange.response",
    "last": "last = attempts[-1] if attempts else None",
    "attempts": "attempts = exchange.attempts",
    "seconds": "seconds = exchange.ended - exchange.started",
}
"""What expressions share; each after those that need it."""


def compile_line(
    pattern: bytes, values: Sequence[str], names: dict[str, object], clock: Callable[[], float]
) -> Callable[[Exchange], bytes]:
    """A function of the exchange that puts the values of these expressions in their places in a pattern.

    hot: l7-balancer. One function with just the wanted fields in it costs half of calling one for each field.
    """
    result = f"{pattern!r} % ({', '.join(f'({value})' for value in values)},)"
    body = result
    needed: list[str] = []
    for name, statement in _LOCALS.items():
        if name in body:
            needed.insert(0, statement)
            body += statement
    source = "\n    ".join(["def line(exchange):", *needed, f"return {result}"])
    space: dict[str, Any] = {**names, **_names(clock)}
    exec(compile(source, "<access log line>", "exec"), space)
    line: Callable[[Exchange], bytes] = space["line"]
    return line


def _names(clock: Callable[[], float]) -> dict[str, object]:
    """What expressions may call."""
    return {
        "CLIENT_LEFT": CLIENT_LEFT,
        "PROTOCOLS": PROTOCOLS,
        "clf": _clock_text("%d/%b/%Y:%H:%M:%S +0000", [b""]),
        "clock": clock,
        "failure": _failure,
        "iso": _clock_text("%Y-%m-%dT%H:%M:%S", [b".%03dZ" % number for number in range(1000)]),
        "spent": _spent,
    }


def _clock_text(pattern: str, ends: Sequence[bytes]) -> Callable[[float], bytes]:
    """A function from epoch seconds to text, which formats once a second; `ends` are for its equal parts."""
    parts = len(ends)
    second, whole = -1, b""
    part, text = -1, b""

    def stamp(moment: float) -> bytes:
        nonlocal second, whole, part, text
        if (now := int(moment * parts)) != part:
            part = now
            if now // parts != second:
                second = now // parts
                whole = time.strftime(pattern, time.gmtime(second)).encode()
            text = whole + ends[now % parts]
        return text

    return stamp


def _spent(attempts: Sequence[Attempt], now: float) -> float:
    return sum((attempt.ended or now) - attempt.started for attempt in attempts)


def _failure(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
