"""Check the endpoints of every upstream in turn, and mark them: once for the whole gateway.

Owns when each endpoint is asked and the marks of the source `checks`. How it is asked is `asking`'s business, and
what many checks amount to `streak`'s. The state is the mark itself, so a worker that takes over goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl

from gateway import App, Endpoint, EndpointState, Upstream, client_context
from gateway_health.asking import Inconclusive, ask, make_check
from gateway_health.settings import Settings
from gateway_health.streak import Streak, Turn
from gateway_health.target import Target

log = logging.getLogger("gateway.health")

SOURCE = "checks"

FOLLOW_SECONDS = 1.0
"""How long it may take until endpoints that came at run time are seen, and those that left."""


class Checker:
    """The checks of one upstream. Does nothing but take old marks back if the settings want none."""

    def __init__(self, app: App, upstream: Upstream, settings: Settings, rng: random.Random) -> None:
        self._app = app
        self._upstream = upstream
        self._settings = settings
        self._rng = rng
        self._check = make_check(settings, _literal_host(upstream.settings.host))
        self._tls: ssl.SSLContext | None = None
        self._room = asyncio.Semaphore(settings.max_concurrent)
        self._following: asyncio.Task[None] | None = None
        self._watching: dict[Endpoint, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to check, in the running loop. Raises ConfigurationError for certificates that cannot be read."""
        if self._settings.kind != "none":
            for endpoint in self._upstream.endpoints:
                self._target(endpoint)
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """End, and leave the marks to whoever comes next."""
        tasks = [self._following] if self._following else []
        tasks += self._watching.values()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        """Have a task for each endpoint that there is, or hold none for down if none is checked."""
        seen: tuple[Endpoint, ...] = ()
        while self._app.once("health"):
            if self._settings.kind == "none":
                # Not just once: the App before this one still checks until this one has taken its place.
                for endpoint in self._upstream.endpoints:
                    self._take_back(endpoint, "it is not checked any more")
            elif self._upstream.endpoints is not seen:
                seen = self._upstream.endpoints
                self._adjust(seen)
            await asyncio.sleep(min(FOLLOW_SECONDS, self._settings.interval))
        for task in self._watching.values():
            task.cancel()

    def _adjust(self, endpoints: tuple[Endpoint, ...]) -> None:
        loop = asyncio.get_running_loop()
        for gone in set(self._watching).difference(endpoints):
            self._watching.pop(gone).cancel()
            self._take_back(gone, "it is gone")
        fresh = [endpoint for endpoint in endpoints if endpoint not in self._watching]
        for number, endpoint in enumerate(fresh):
            delay = self._settings.interval * number / len(fresh)
            self._watching[endpoint] = loop.create_task(self._watch(endpoint, delay))

    async def _watch(self, endpoint: Endpoint, delay: float) -> None:
        """Check one endpoint for as long as it is there."""
        settings, loop = self._settings, asyncio.get_running_loop()
        target = self._target(endpoint)
        streak = Streak(settings.rise, settings.fall)
        await asyncio.sleep(delay)
        while True:
            began = loop.time()
            try:
                async with self._room:
                    trouble = await ask(self._check, target, settings.timeout)
            except Inconclusive as error:
                log.warning("endpoint %s cannot be checked: %s", endpoint.name, error)
            except Exception:
                log.exception("the check of endpoint %s failed", endpoint.name)
            else:
                self._judge(endpoint, streak, trouble)
            await asyncio.sleep(max(0.0, began + self._pause(endpoint) - loop.time()))

    def _target(self, endpoint: Endpoint) -> Target:
        settings, kind = self._upstream.settings.tls, self._settings.kind
        is_tls = kind == "tls" or (kind != "tcp" and endpoint.url.scheme == "https")
        if is_tls and self._tls is None:
            self._tls = client_context(settings)
            self._tls.set_alpn_protocols(["h2"] if kind == "grpc" else ["http/1.1"])
        return Target.of(endpoint, self._settings.port, self._tls if is_tls else None, settings.server_name)

    def _judge(self, endpoint: Endpoint, streak: Streak, trouble: str) -> None:
        held = endpoint.marks.get(SOURCE)
        reason = f"{self._settings.kind} check: {trouble or 'it passes again'}"
        log.debug("endpoint %s: %s check: %s", endpoint.name, self._settings.kind, trouble or "passed")
        turn = streak.take(not trouble, held is not None)
        if turn is Turn.RISE:
            self._mark(endpoint, EndpointState.UP, reason)
        elif turn is Turn.FALL or (trouble and held is not None and held[1] != reason):
            self._mark(endpoint, EndpointState.DOWN, reason)

    def _mark(self, endpoint: Endpoint, state: EndpointState, reason: str) -> None:
        if self._app.once("health"):  # not of an App whose last check comes in after it was replaced
            self._app.mark(self._upstream.name, endpoint.name, SOURCE, state, reason, owner="health")

    def _take_back(self, endpoint: Endpoint, reason: str) -> None:
        if SOURCE in endpoint.marks:
            self._mark(endpoint, EndpointState.UP, reason)

    def _pause(self, endpoint: Endpoint) -> float:
        settings = self._settings
        seconds = (SOURCE in endpoint.marks and settings.interval_down) or settings.interval
        return seconds * (1 + settings.jitter * self._rng.uniform(-1, 1))

    def __repr__(self) -> str:
        return f"<Checker of {self._upstream.name}: {self._settings.kind}, {len(self._watching)} endpoints>"


def _literal_host(rule: str) -> str:
    return "" if rule in ("keep", "endpoint") else rule
