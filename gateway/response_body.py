"""The body of a response between the plugins and whoever sends it: wrapped by them, framed by us.

Owns what becomes of a length that nobody knows any more. Sends nothing.
"""

from __future__ import annotations

from gateway.body import WholeBody
from gateway.model import Exchange, Response
from gateway.pipeline import Pipeline, wrap


def wrap_body(exchange: Exchange, pipeline: Pipeline, response: Response, limit: int) -> None:
    """Let plugins put their iterators around the response's body; a whole body becomes an iterator first."""
    if response.status in (101, 304) or exchange.request.method == "HEAD":
        return  # what follows is a tunnel, or nothing
    original = response.body
    source = WholeBody(original) if isinstance(original, bytes) else original
    if not hasattr(source, "__aiter__"):
        return  # a plugin's mistake: whoever sends it says so
    wrapped = wrap(pipeline.wrap_response_body, exchange, source, "wrap_response_body", limit)
    if wrapped is not source:
        response.body = wrapped
        while (same := getattr(wrapped, "passes_on", None)) is not None:
            wrapped = same
        if wrapped is not source:
            response.headers.remove(b"content-length")  # nobody knows it any more


def settle_framing(exchange: Exchange, response: Response) -> None:
    """Take away framing that a plugin may have written: it is ours, and Granian sends whatever it is given."""
    # hot: l7-balancer
    headers = response.headers
    names = dict(headers.raw)
    if b"transfer-encoding" in names:
        headers.remove(b"transfer-encoding")
    if b"content-length" in names and isinstance(response.body, bytes) and has_body(exchange, response):
        headers.remove(b"content-length")  # Granian counts a whole body itself


def has_body(exchange: Exchange, response: Response) -> bool:
    """Whether a length says how much follows: it does not for HEAD and 304, which only announce one."""
    return exchange.request.method != "HEAD" and response.status != 304
