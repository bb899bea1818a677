"""Turn an error into a small answer that follows `Accept` and tells nothing of the inside.

Owns the wording for clients. The log says what really happened, under the same request id.
"""

from __future__ import annotations

import html
from http import HTTPStatus

import orjson

from gateway.errors import GatewayError
from gateway.model import Exchange, Response

RETRY_AFTER_SECONDS = b"1"
SERVED_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""The usual ones; others pass, too, if the endpoint knows them."""

_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""Names that the oldest Python that we run on does not have from RFC 9110."""


def error_response(exchange: Exchange, error: GatewayError) -> Response:
    """The standard answer to a failure: text, JSON or HTML, with the request id."""
    status = error.status if 400 <= error.status <= 599 else 500
    try:
        phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    content_type, body = _render(_preferred(exchange), status, phrase, exchange.id)
    response = Response(status, {"content-type": content_type, "cache-control": "no-store"}, body)
    if status == 503:
        response.headers.add(b"retry-after", RETRY_AFTER_SECONDS)
    elif status == 405:
        response.headers.add(b"allow", SERVED_METHODS)
    return response


def _preferred(exchange: Exchange) -> str:
    """The first of our formats that `Accept` names; its q-values are not worth the trouble here."""
    accept = exchange.request.headers.text(b"accept", "").lower()
    found = {kind: accept.find(kind) for kind in ("text/html", "application/json", "text/plain")}
    named = {kind: place for kind, place in found.items() if place >= 0}
    return min(named, key=lambda kind: named[kind]) if named else "text/plain"


def _render(kind: str, status: int, phrase: str, request_id: str) -> tuple[str, bytes]:
    if kind == "application/json":
        return kind, orjson.dumps({"status": status, "error": phrase, "request_id": request_id})
    if kind == "text/html":
        shown = html.escape(request_id)
        page = (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{status} {phrase}</title>"
            f"<h1>{status} {phrase}</h1><p>Request id: <code>{shown}</code></p></html>\n"
        )
        return "text/html; charset=utf-8", page.encode()
    return "text/plain; charset=utf-8", f"{status} {phrase}\nrequest id: {request_id}\n".encode()
