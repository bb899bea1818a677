"""The last look at a response before it is sent: what cannot be sent becomes the page of a 500.

Owns what a status and a body have to be. Sends nothing.
"""

from __future__ import annotations

import logging
import reprlib

from gateway.error_pages import error_response
from gateway.errors import PluginError
from gateway.forward import SERVER
from gateway.model import Exchange, Response
from gateway.pipeline import suspects

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
