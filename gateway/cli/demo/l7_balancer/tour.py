"""The stops of the guided tour: what is done to the gateway, and what is to be seen of it.

Owns their order, texts and deeds. How they look is the screen's business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gateway.cli.demo.child import Child
from gateway.cli.demo.l7_balancer.site import CANARY_ROUTE, UPSTREAM, with_canary
from gateway.cli.demo.l7_balancer.traffic import Traffic
from gateway.cli.demo.origin import Origin
from gateway.cli.demo.screen import Screen
from gateway.cli.demo.show import Tour

VISITORS = ("ana", "bea", "cem", "dan", "eva", "finn")


class Scene:
    """Everything that the stops act upon, and what the gateway says of its endpoints."""

    def __init__(self, child: Child, site: Path, origins: list[Origin], canary: Origin, traffic: Traffic) -> None:
        self.child = child
        self.site = site
        self.origins = origins
        """Those that serve from the beginning."""
        self.canary = canary
        self.traffic = traffic
        self.states: dict[str, str] = {}
        """Of each endpoint, by `HOST:PORT`: up, down, draining, maintenance."""

    @property
    def everyone(self) -> list[Origin]:
        """The origins, the canary last."""
        return [*self.origins, self.canary]

    async def look(self) -> None:
        """Ask the gateway for the states."""
        for item in (await self.child.ask("endpoints"))["endpoints"]:
            self.states[item["endpoint"]] = item["state"]

    def guests_of(self, origin: Origin) -> list[str]:
        """The visitors who were there last."""
        return [visitor.name for visitor in self.traffic.visitors if visitor.at == origin.name]


class BalancerTour(Tour):
    """Six stops, at each of which something is done to the gateway or to an origin."""

    def __init__(self, scene: Scene, screen: Screen, step: float) -> None:
        super().__init__(screen, step)
        self._scene = scene

    @property
    def stops(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """In their order."""
        return (self.balancing, self.sessions, self.death, self.revival, self.drain, self.canary)

    @property
    def failed(self) -> int:
        """Requests of ours that failed, up to now."""
        return self._scene.traffic.failed

    @property
    def commands(self) -> Sequence[str]:
        """What to try when the tour is over."""
        return ("gateway endpoints", f'gateway explain {self._scene.site} "GET /" --live')

    async def balancing(self) -> None:
        """Requests spread."""
        began = time.monotonic()
        self._tell(
            "Balancing",
            "Strangers come, about twenty a second. Each goes to the endpoint with the fewest requests in flight.",
        )
        await self._stay(began)

    async def sessions(self) -> None:
        """Visitors stick."""
        traffic, began = self._scene.traffic, time.monotonic()
        self._tell(
            "Sessions",
            "Six visitors arrive, who keep a cookie. Where the first request of each went, all others go.",
        )
        traffic.invite(*VISITORS)
        await self._until(lambda: all(visitor.at for visitor in traffic.visitors))
        at_first = {visitor.name: visitor.at for visitor in traffic.visitors}
        await self._stay(began)
        stayed = sum(at_first[visitor.name] == visitor.at for visitor in traffic.visitors)
        self._screen.found(
            f"{stayed} of {len(VISITORS)} visitors are where they began", is_good=stayed == len(VISITORS)
        )

    async def death(self) -> None:
        """An endpoint dies."""
        victim, began = self._scene.origins[1], time.monotonic()
        guests = self._scene.guests_of(victim)
        self._tell(
            f"Origin {victim.name} dies",
            "Its connections are cut, and it listens no more. What it had not answered yet is asked of another;"
            " its visitors move.",
        )
        victim.die()
        seconds = await self._state(victim, "down")
        self._screen.found(f"taken out after {seconds:.1f} s")
        await self._until(lambda: not self._scene.guests_of(victim))
        if guests:
            self._screen.found(f"{', '.join(guests)} moved")
        await self._stay(began)

    async def revival(self) -> None:
        """It comes back."""
        origin, began = self._scene.origins[1], time.monotonic()
        self._tell(
            f"Origin {origin.name} comes back",
            "After two checks that pass, strangers arrive there again. Visitors who moved stay where they are.",
        )
        await origin.start()
        seconds = await self._state(origin, "up")
        self._screen.found(f"back after {seconds:.1f} s")
        await self._stay(began)

    async def drain(self) -> None:
        """An endpoint is drained for maintenance, and comes back."""
        origin, began = self._scene.origins[2], time.monotonic()
        self._tell(
            f"Origin {origin.name} is drained",
            "Before a deployment: its visitors may finish, nobody new is sent there.",
            f"gateway drain {UPSTREAM} {origin.address}",
        )
        await self._scene.child.ask("drain", upstream=UPSTREAM, endpoint=origin.address, reason="the tour")
        await self._state(origin, "draining")
        await asyncio.sleep(min(1.0, self._step / 4))  # let those who were on their way arrive
        before = self._scene.traffic.strangers[origin.name]
        await self._stay(began)
        came = self._scene.traffic.strangers[origin.name] - before
        guests = self._scene.guests_of(origin)
        self._screen.found(f"{came or 'no'} stranger{'' if came == 1 else 's'} came", is_good=not came)
        if guests:
            self._screen.found(f"{', '.join(guests)} stayed")
        await self._scene.child.ask("enable", upstream=UPSTREAM, endpoint=origin.address)

    async def canary(self) -> None:
        """A quarter of everybody gets the next version."""
        scene, began = self._scene, time.monotonic()
        self._tell(
            f"A canary: origin {scene.canary.name}",
            "A quarter of the strangers and of the visitors try the next version, and each visitor keeps to it.",
            *(f"+ {line}" for line in CANARY_ROUTE.splitlines()),
            f"gateway reload {scene.site}",
        )
        scene.site.write_text(with_canary(scene.site.read_text()))
        await scene.child.ask("reload")
        before = scene.traffic.strangers.copy()
        await self._until(lambda: scene.traffic.strangers[scene.canary.name] > 0)
        await self._stay(began)
        came = scene.traffic.strangers - before
        guests = scene.guests_of(scene.canary)
        self._screen.found(f"{came[scene.canary.name] / max(1, came.total()):.0%} of the strangers there")
        if guests:
            self._screen.found(f"{', '.join(guests)} there")

    async def _state(self, origin: Origin, state: str) -> float:
        return await self._until(lambda: self._scene.states.get(origin.address) == state)
