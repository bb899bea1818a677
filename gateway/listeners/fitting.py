"""The last look at a response before it is sent: what cannot be sent becomes the page of a 500.

Owns what a status, a body and its pieces have to be. Sends nothing.
"""

from __future__ import annotations

import logging
import reprlib

from gateway.error_pages import error_response
from gateway.errors import PluginError
from gateway.forward import SERVER
from gateway.model import Exchange, Response
from gateway.pipeline import suspects
from gateway.response_body import has_body

log = logging.getLogger("gateway.listeners")


def fit_to_send(exchange: Exchange, response: Response) -> Response:
    """The response; the page of a 500 instead, if a plugin made of it what cannot be sent.

    Granian would abort the process for some of it. Looked at only here: after each hook it would cost every
    exchange, so the log can only name those that may have done it.
    """
    status, body = response.status, response.body
    if not isinstance(status, int) or not 200 <= status <= 599:
        wrong = f"status {status!r}: it is a number from 200 to 599"
    elif not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
        wrong = f"the body {reprlib.repr(body)}: it is bytes (text.encode()) or an asynchronous iterator of bytes"
    else:
        return response
    error = PluginError(f"{suspects(exchange)} left a response with {wrong}")
    log.error("request %s: %s", exchange.id, error)
    if exchange.open_body is not None:
        exchange.open_body.close(error)
    exchange.error = error
    exchange.response = page = error_response(exchange, error)
    page.headers.set_default(*SERVER)
    return page


async def leave_unread(response: Response) -> None:
    """Make a response to HEAD of one whose body was made all the same: nobody reads it (RFC 9110 9.3.2)."""
    close = getattr(response.body, "aclose", None)
    response.body = b""
    if close is not None:
        await close()


def unfit_piece(exchange: Exchange, piece: object) -> PluginError:
    """What to say of a piece of a body that is no bytes: Granian would leave it out without a word."""
    return PluginError(
        f"{suspects(exchange)} gave {reprlib.repr(piece)} as a piece of a response's body: "
        "it is bytes (text.encode())"
    )


def check_length(exchange: Exchange, response: Response) -> None:
    """Raise PluginError if a body was not as long as its response said; the client sees it cut."""
    announced = response.headers.get(b"content-length")
    if announced is not None and has_body(exchange, response) and announced != b"%d" % exchange.bytes_sent:
        raise PluginError(
            f"{suspects(exchange)} announced content-length {announced.decode('latin-1')} for a body of "
            f"{exchange.bytes_sent} bytes; without that field the length is found out"
        )
