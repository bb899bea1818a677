"""The fields of a line: what each means, and how it is read from a finished exchange.

Owns names, meanings and expressions. Does not know how a line is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gateway import Attempt, Exchange

CLIENT_LEFT = 499
PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2", "3": "HTTP/3"}


class Field(NamedTuple):
    """One field. `expression` is Python over the locals below and the names of `make_names`."""

    meaning: str
    expression: str
    is_plain: bool = False
    """Whether it is always there and holds nothing that would need escaping."""


_DECODED = '(value.decode("utf-8", "backslashreplace") if (value := {}) is not None else None)'
_TARGET = 'request.raw_path + b"?" + request.query if request.query else request.raw_path'
_ONE_ATTEMPT = "int((last.ended - last.started) * 1e6) / 1e3"

FIELDS: dict[str, Field] = {
    "time": Field("when the request came, in UTC: `2024-05-01T12:00:00.000Z`", "iso(clock() - seconds)", True),
    "clf_time": Field("the same, as the Common Log Format has it", "clf(clock() - seconds)", True),
    "id": Field("the request id, which error pages and the gateway's own log show, too", "exchange.id"),
    "client": Field("address of the client", "request.client"),
    "peer": Field("address of the TCP peer: a proxy's, if the client is behind one", "request.peer"),
    "listener": Field("the listener's name or address", "exchange.listener"),
    "scheme": Field("`http`, `https`, `ws` or `wss`", "request.scheme"),
    "method": Field("the method", "request.method"),
    "host": Field("the Host without its port, in lower case", "request.host"),
    "target": Field("path and query as they came", _DECODED.format(_TARGET)),
    "protocol": Field("`HTTP/1.1`", "PROTOCOLS.get(request.http_version)"),
    "status": Field(
        "the status that the client got; 499 if it left before there was one",
        "response.status if response is not None else CLIENT_LEFT",
        True,
    ),
    "bytes_in": Field("bytes of the request body", "exchange.bytes_received", True),
    "bytes_out": Field("bytes of the response body that were sent", "exchange.bytes_sent", True),
    "duration_ms": Field("from the arrival to the last byte of the response", "int(seconds * 1e6) / 1e3", True),
    "route": Field("the route's name", "exchange.route.name"),
    "upstream": Field("the upstream, if it was asked", "exchange.upstream.name if last else None"),
    "endpoint": Field("the endpoint of the last attempt", "last.endpoint.name if last else None"),
    "attempts": Field("how many attempts there were", "len(attempts)", True),
    "upstream_ms": Field(
        "what all attempts took",
        f"({_ONE_ATTEMPT} if len(attempts) == 1 and last.ended else spent_ms(attempts, exchange.ended))"
        " if last else None",
    ),
    "user_agent": Field("the header User-Agent", _DECODED.format('headers.get(b"user-agent")')),
    "referer": Field("the header Referer", _DECODED.format('headers.get(b"referer")')),
    "error": Field("what went wrong, if something did", "failure(exchange.error) if exchange.error else None"),
    "answered_by": Field(
        "the plugin that answered in an endpoint's stead", "answerer(exchange) if exchange.notes else None"
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


def compile_line(result: str, names: dict[str, object], clock: Callable[[], float]) -> Callable[[Exchange], bytes]:
    """A function of the exchange that returns what the expression `result` says.

    hot: l7-balancer. One function with just the wanted fields in it costs half of calling one for each field.
    """
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
        "answerer": _answerer,
        "clf": _every_second("%d/%b/%Y:%H:%M:%S +0000", [""]),
        "clock": clock,
        "failure": _failure,
        "iso": _every_second("%Y-%m-%dT%H:%M:%S", [f".{number:03d}Z" for number in range(1000)]),
        "spent_ms": _spent_ms,
    }


def _every_second(pattern: str, ends: Sequence[str]) -> Callable[[float], str]:
    """A function from epoch seconds to text, which formats once a second; `ends` are for its equal parts."""
    latest, text, parts = -1, "", len(ends)

    def stamp(moment: float) -> str:
        nonlocal latest, text
        second = int(moment)
        if second != latest:
            latest, text = second, time.strftime(pattern, time.gmtime(second))
        return text + ends[int((moment - second) * parts)]

    return stamp


def _spent_ms(attempts: Sequence[Attempt], now: float) -> float:
    seconds = 0.0
    for attempt in attempts:
        seconds += (attempt.ended or now) - attempt.started
    return int(seconds * 1e6) / 1e3


def _failure(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _answerer(exchange: Exchange) -> str | None:
    for who, what in exchange.notes:
        if what.startswith("answered"):
            return who
    return None
