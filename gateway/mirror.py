"""Copy requests to a second upstream, whose answers nobody waits for and whose failures nobody sees.

Owns which requests are copied and the tasks that carry the copies. A copy is an exchange of its own without any
plugin: nothing of it stands in the record of the original.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping

from gateway.body import WholeBody
from gateway.config.actions import Mirror as MirrorSettings
from gateway.config.routes import Route as RouteSettings
from gateway.errors import ConnectFailed, GatewayError, NoEndpoint
from gateway.forward import forward
from gateway.metrics import Metrics
from gateway.model import Exchange, Response
from gateway.pipeline import Pipeline
from gateway.routing import Route
from gateway.upstream.group import Upstream

log = logging.getLogger("gateway.mirror")

MAX_ANSWER_BYTES = 256 * 1024
"""A longer answer is cut: reading it to the end would cost more than a new connection."""

REST_SECONDS = 1.0
"""Nothing is copied for so long after nobody was there: to find that out costs more than the request itself."""


class Mirror:
    """The copies of one route's requests, in one worker."""

    def __init__(self, settings: MirrorSettings, upstream: Upstream, chance: random.Random) -> None:
        self.settings = settings
        self.copied = 0
        self.left_out = 0
        """Requests that were not copied: too many copies were under way, or nobody was there to take them."""
        self._resting_until = 0.0
        self._route = Route(RouteSettings(name="mirror", upstream=upstream.name), Pipeline(), upstream)
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()

    def show_in(self, metrics: Metrics) -> None:
        """Let the operator see how many copies there were."""
        name = self._route.upstream.name
        metrics.counter("mirror_copied", "Requests that were copied", lambda: self.copied, upstream=name)
        metrics.counter(
            "mirror_left_out",
            "Requests not copied: too many copies were under way, or nobody took them",
            lambda: self.left_out,
            upstream=name,
        )

    def __call__(self, exchange: Exchange) -> None:
        """Copy a request that is about to be forwarded, if it is its turn. Does not wait for anything."""
        settings, request = self.settings, exchange.request
        if exchange.is_tunnel or self._chance.random() >= settings.share:
            return
        if len(self._tasks) >= settings.max_in_flight or time.monotonic() < self._resting_until:
            self.left_out += 1
            return
        if request.body is None:
            self.send(self._copy(exchange), b"")
            return
        length = request.body_length
        if length is None or length <= settings.max_body:
            request.body = Overheard(request.body, self, self._copy(exchange), length)

    def _copy(self, exchange: Exchange) -> Exchange:
        """The request as it is now: the plugins have seen it, and it is not sent yet."""
        copy = exchange.copy()
        copy.route, copy.upstream = self._route, self._route.upstream
        return copy

    def send(self, copy: Exchange, body: bytes) -> None:
        """Send a copy with its whole body, in a task of its own."""
        if len(self._tasks) >= self.settings.max_in_flight:
            self.left_out += 1
            return
        if body:
            copy.request.body = WholeBody(body)
        self.copied += 1
        task = asyncio.get_running_loop().create_task(self._carry(copy))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, copy: Exchange) -> None:
        try:
            async with asyncio.timeout(self.settings.timeout or None):
                await _drop(await forward(copy))
        except (ConnectFailed, NoEndpoint) as error:
            self._resting_until = time.monotonic() + REST_SECONDS
            log.debug("no copies for %s in the next %g s: %s", copy.upstream.name, REST_SECONDS, error)
        except (GatewayError, TimeoutError) as error:
            log.debug("a copy for %s failed: %r", copy.upstream.name, error)
        except Exception:
            log.exception("a copy for %s failed", copy.upstream.name)
        finally:
            if copy.open_body is not None:
                copy.open_body.close()
                copy.open_body = None  # it leads back to the exchange: nothing is left for the collector

    async def close(self) -> None:
        """Cut the copies that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<Mirror to {self._route.upstream.name}: {self.copied} copied, {self.left_out} left out>"


def mirror_of(route: RouteSettings, upstreams: Mapping[str, Upstream]) -> Mirror | None:
    """What copies the requests of a route, if they are to be copied."""
    settings = route.mirror
    return None if settings is None else Mirror(settings, upstreams[settings.upstream], random.Random())


class Overheard:
    """A request body on its way to the endpoint; when it has come to its end within the bound, the copy is sent."""

    __slots__ = ("_copy", "_mirror", "_pieces", "_size", "_source", "length")

    def __init__(self, source: AsyncIterable[bytes], mirror: Mirror, copy: Exchange, length: int | None) -> None:
        self._source = aiter(source)
        self._mirror = mirror
        self._copy: Exchange | None = copy
        self.length = length
        """What was announced: whoever has so much does not ask whether there is more."""
        self._pieces: list[bytes] = []
        self._size = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._source)
        except StopAsyncIteration:
            self._finish()
            raise
        if self._copy is not None:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size == self.length:
                self._finish()
            elif self._size > self._mirror.settings.max_body:
                self._copy = None
                self._pieces.clear()
        return piece

    def _finish(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            self._mirror.send(copy, b"".join(self._pieces))
            self._pieces.clear()


async def _drop(response: Response) -> None:
    """Read an answer, so that its connection can be used again."""
    if isinstance(response.body, bytes):
        return
    size = 0
    async for piece in response.body:
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return
