"""Ask a second endpoint when the first is slow to answer, and take whichever response comes first.

Owns the race between the two. Does not know how an endpoint is asked: `gateway.forward` says that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from gateway.body import OpenBody
from gateway.errors import UpstreamError
from gateway.light import as_task
from gateway.model import IDEMPOTENT_METHODS, Exchange, Response

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.group import Upstream

Ask: TypeAlias = Callable[[list["Endpoint"]], Coroutine[Any, Any, Response]]
"""Asks any endpoint but those given."""


def may_hedge(exchange: Exchange, upstream: Upstream) -> bool:
    """Whether a second copy of the request does no harm, and is wanted."""
    request = exchange.request
    return bool(upstream.settings.hedge_after) and request.method in IDEMPOTENT_METHODS and request.body is None


async def hedged(exchange: Exchange, upstream: Upstream, ask: Ask) -> Response:
    """The first response; after `hedge_after` without one, a second endpoint is asked. Raises GatewayError.

    The second request is a retry as far as the budget is concerned. The one that loses is cancelled.
    """
    await as_task()
    racing = {asyncio.create_task(ask([]))}
    winner: Response | None = None
    try:
        done, _ = await asyncio.wait(racing, timeout=upstream.settings.hedge_after)
        if not done:
            asked = [attempt.endpoint for attempt in exchange.attempts]
            if any(endpoint not in asked for endpoint in upstream.available) and upstream.spend_retry():
                racing.add(asyncio.create_task(ask(asked)))
        winner = await _first(racing)
    finally:
        for task in racing:
            task.cancel()
        for late in await asyncio.gather(*racing, return_exceptions=True):
            if isinstance(late, Response) and late is not winner:
                _drop(late)
    _record(exchange, winner)
    return winner


async def _first(racing: set[asyncio.Task[Response]]) -> Response:
    """The first response; the last error if all fail, and at once an error that is not an endpoint's."""
    waiting = racing
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        errors = [error for task in done if (error := task.exception()) is not None]
        if len(errors) < len(done):
            return next(task.result() for task in done if task.exception() is None)
        for error in errors:
            if not waiting or not isinstance(error, UpstreamError):
                raise error


def _drop(response: Response) -> None:
    if not isinstance(response.body, bytes):
        cast("OpenBody", response.body).close()


def _record(exchange: Exchange, winner: Response) -> None:
    """Let the exchange hold the winner's body, and its record end with the attempt that brought it."""
    exchange.attempts.sort(key=lambda attempt: attempt.status is not None)
    exchange.open_body = None if isinstance(winner.body, bytes) else cast("OpenBody", winner.body)
