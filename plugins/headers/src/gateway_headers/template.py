"""Header values with names in them: `"for {client}"` becomes a function of the exchange, once, at load.

Owns the names, the notation, and what a value may hold. Does not know which header gets the value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from gateway import Exchange

Piece: TypeAlias = bytes | Callable[[Exchange], str]
Render: TypeAlias = Callable[[Exchange], bytes]

_TOKENS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")


def _endpoint(exchange: Exchange) -> str:
    return exchange.attempts[-1].endpoint.name if exchange.attempts else ""


ON_REQUEST: Mapping[str, Callable[[Exchange], str]] = {
    "client": lambda exchange: exchange.request.client,
    "host": lambda exchange: exchange.request.host,
    "listener": lambda exchange: exchange.listener,
    "method": lambda exchange: exchange.request.method,
    "path": lambda exchange: exchange.request.raw_path.decode("latin-1"),
    "peer": lambda exchange: exchange.request.peer,
    "request_id": lambda exchange: exchange.id,
    "route": lambda exchange: exchange.route.name,
    "scheme": lambda exchange: exchange.request.scheme,
}
"""The names that a request's headers may use."""

ON_RESPONSE: Mapping[str, Callable[[Exchange], str]] = {**ON_REQUEST, "endpoint": _endpoint}
"""The names that a response's headers may use."""


def compile_template(text: str, names: Mapping[str, Callable[[Exchange], str]]) -> bytes | Render:
    """The value itself if there is no name in it, otherwise a function that makes it.

    A literal brace is doubled. Raises ValueError for an unknown name, a lone brace, or a character that cannot
    stand in a header. What a name stands for can come from the client: control characters in it are dropped,
    so that it never ends the header.
    """
    pieces = _parse(text, names)
    literals = [piece for piece in pieces if isinstance(piece, bytes)]
    if any(_CONTROLS.search(literal) for literal in literals):
        raise ValueError(f"a control character cannot stand in a header: {text!r}")
    if len(literals) == len(pieces):
        return b"".join(literals)
    if len(pieces) == 1 and not isinstance(pieces[0], bytes):
        return _render_one(pieces[0])
    return _render_all(pieces)


def _parse(text: str, names: Mapping[str, Callable[[Exchange], str]]) -> list[Piece]:
    pieces: list[Piece] = []
    end = 0
    for token in _TOKENS.finditer(text):
        if token.start() > end:
            pieces.append(_literal(text[end : token.start()]))
        end = token.end()
        name = token[1]
        if name is not None:
            pieces.append(_known(name, names))
        elif token[0] in ("{{", "}}"):
            pieces.append(token[0][:1].encode())
        else:
            raise ValueError(f"a lone {token[0]!r} in {text!r}; write {token[0] * 2!r} for the character itself")
    if end < len(text):
        pieces.append(_literal(text[end:]))
    return pieces


def _literal(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"{text[error.start]!r} cannot stand in a header (it is not Latin-1)") from None


def _known(name: str, names: Mapping[str, Callable[[Exchange], str]]) -> Callable[[Exchange], str]:
    if name in names:
        return names[name]
    if name in ON_RESPONSE:
        raise ValueError(f"{{{name}}} is not known yet when the request passes; it can be used in the response")
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {{{close[0]}}}?" if close else f" (known: {', '.join(sorted(names))})"
    raise ValueError(f"unknown name {{{name}}}{hint}")


def _render_one(read: Callable[[Exchange], str]) -> Render:
    def render(exchange: Exchange) -> bytes:
        return _safe(read(exchange))

    return render


def _render_all(pieces: list[Piece]) -> Render:
    def render(exchange: Exchange) -> bytes:
        return b"".join([piece if isinstance(piece, bytes) else _safe(piece(exchange)) for piece in pieces])

    return render


def _safe(text: str) -> bytes:
    value = text.encode("latin-1", "replace")
    return _CONTROLS.sub(b"", value) if _CONTROLS.search(value) else value
