"""Whether a failed attempt may be followed by another one, and when.

Owns the conditions, the count and the pause between attempts; the budget is the upstream's. Pure decisions: sends
nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.errors import (
    ConnectFailed,
    UpstreamError,
)
from gateway.light import as_task
from gateway.model import IDEMPOTENT_METHODS, Exchange

if TYPE_CHECKING:
    from gateway.request_body import RequestBody
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.group import Upstream

MAX_BACKOFF_SECONDS = 2.0


class UnwantedStatus(UpstreamError):
    """The response has a status that `retries.on` names."""

    def __init__(self, endpoint: str, status: int) -> None:
        super().__init__(f"endpoint {endpoint}: status {status}")
        self.status = status


def is_harmless(exchange: Exchange, error: UpstreamError, body: RequestBody | None) -> bool:
    """Whether a repetition cannot do harm: nothing was sent, or it is idempotent and can be sent again."""
    if isinstance(error, ConnectFailed):
        return body is None or not body.is_started
    return exchange.request.method in IDEMPOTENT_METHODS and (body is None or body.is_whole)


def may_retry(
    exchange: Exchange,
    upstream: Upstream,
    error: UpstreamError,
    body: RequestBody | None,
    failed: Sequence[Endpoint],
    endpoint: Endpoint,
) -> bool:
    """Whether another endpoint may be asked: it is wanted and safe, there is one, and count and budget allow it."""
    if not _is_wanted(upstream, error) or not is_harmless(exchange, error, body):
        return False
    if len(failed) + 1 >= upstream.settings.retries.attempts:
        return False
    if all(other is endpoint or other in failed for other in upstream.available):
        return False
    # A refused connection cost the upstream nothing, so it does not count against the budget.
    return isinstance(error, ConnectFailed) or upstream.spend_retry()


def _is_wanted(upstream: Upstream, error: UpstreamError) -> bool:
    return isinstance(error, ConnectFailed | UnwantedStatus) or error.condition in upstream.settings.retries.on


async def pause(upstream: Upstream, failures: int) -> None:
    """Wait before another attempt. The first goes to another endpoint at once, each further one waits longer.

    The pause is `retries.backoff`, doubled each time, of which up to a half is left out at random so that
    exchanges that failed together do not come back together.
    """
    seconds = upstream.settings.retries.backoff
    if not seconds or failures < 2:
        return
    await as_task()
    longest = min(MAX_BACKOFF_SECONDS, seconds * 2.0 ** (failures - 2))
    await asyncio.sleep(longest * random.uniform(0.5, 1))
