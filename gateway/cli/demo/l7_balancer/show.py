"""The demo of `l7-balancer` on stage: what it starts, and what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from rich import box
from rich.bar import Bar
from rich.table import Table

from gateway.cli.demo.child import running
from gateway.cli.demo.l7_balancer.site import site_file
from gateway.cli.demo.l7_balancer.tour import BalancerTour, Scene
from gateway.cli.demo.l7_balancer.traffic import Traffic
from gateway.cli.demo.origin import Answering, Origin, Question, Reply, serving
from gateway.cli.demo.recent import Recent
from gateway.cli.demo.screen import BAR_WIDTH, Hint, Screen

NAMES = ("one", "two", "three")
CANARY_NAME = "four"
COLOURS = ("cyan", "magenta", "yellow", "green")
STATE_COLOURS = {"up": "green", "down": "red", "draining": "yellow"}


@asynccontextmanager
async def staged(listen: str, folder: Path, stop: asyncio.Event) -> AsyncIterator[BalancerShow]:
    """Origins, their gateway, and strangers."""
    async with AsyncExitStack() as stack:
        *origins, canary = [
            await stack.enter_async_context(serving(name, _hello(name))) for name in (*NAMES, CANARY_NAME)
        ]
        site = folder / "site.toml"
        site.write_text(site_file(listen, [origin.address for origin in origins], [canary.address]))
        child = await stack.enter_async_context(running(site, stop))
        traffic = Traffic(child.url)
        stack.push_async_callback(traffic.end)
        yield BalancerShow(Scene(child, site, origins, canary, traffic))


def _hello(name: str) -> Answering:
    async def answer(question: Question) -> Reply:
        return Reply(f"Hello from {name}: {question.method} {question.target}\n".encode("latin-1"))

    return answer


class BalancerShow:
    """A row for each origin: its state, its share of the strangers, and who visits it."""

    def __init__(self, scene: Scene) -> None:
        self.child = scene.child
        self.hints: Sequence[Hint] = (Hint("try", f"curl -i {scene.child.url}/"),)
        self._scene = scene
        self._strangers = Recent()
        self._served = Recent()

    def tour(self, screen: Screen, step: float) -> BalancerTour:
        """The walk, from its first stop."""
        return BalancerTour(self._scene, screen, step)

    async def look(self) -> None:
        """See what there is now."""
        await self._scene.look()
        self._strangers.add(self._scene.traffic.strangers)
        self._served.add(Counter({origin.name: origin.served for origin in self._scene.everyone}))

    async def end(self) -> None:
        """Let what is under way come home."""
        await self._scene.traffic.end()

    def table(self) -> Table:
        """For a terminal."""
        origins, failed = self._shown(), self._scene.traffic.failed
        table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
        table.add_column("Origin", "all")
        table.add_column("Address")
        table.add_column("State", min_width=8)
        table.add_column("Requests", str(sum(origin.served for origin in origins)), justify="right")
        table.add_column("Strangers, last 3 s", f"{self._served.rate():.0f} requests/s")
        table.add_column("", f"{failed or 'none'} failed", justify="right")
        table.add_column("Visitors", min_width=12)
        for origin, colour, share in zip(origins, COLOURS, self._shares(origins), strict=False):
            state = self._state(origin)
            table.add_row(
                f"[{colour}]{origin.name}[/]",
                origin.address,
                f"[{STATE_COLOURS.get(state, 'yellow')}]{state}[/]",
                str(origin.served),
                Bar(1, 0, share, width=BAR_WIDTH, color=colour),
                f"{share:.0%}",
                " ".join(self._scene.guests_of(origin)),
            )
        return table

    def line(self) -> str:
        """For a pipe."""
        told, origins = [], self._shown()
        for origin, share in zip(origins, self._shares(origins), strict=True):
            state, guests = self._state(origin), self._scene.guests_of(origin)
            told.append(
                f"{origin.name} {share:>4.0%}"
                + ("" if state in ("", "up") else f" {state}")
                + (f" [{' '.join(guests)}]" if guests else "")
            )
        failed = f"   {self._scene.traffic.failed} failed" if self._scene.traffic.failed else ""
        return f"{'   '.join(told)}   {self._served.rate():>3.0f}/s{failed}"

    def summary(self) -> str:
        """What came of it all."""
        origins = self._shown()
        by_name = ", ".join(f"{origin.name} {origin.served}" for origin in origins)
        total = sum(origin.served for origin in origins)
        return f"{total} requests: {by_name}; {self._scene.traffic.failed or 'none'} failed."

    def _shown(self) -> list[Origin]:
        """Nobody is sent to the canary before the last stop."""
        return self._scene.everyone if self._scene.canary.served else self._scene.origins

    def _shares(self, origins: list[Origin]) -> list[float]:
        return self._strangers.shares(origin.name for origin in origins)

    def _state(self, origin: Origin) -> str:
        return self._scene.states.get(origin.address, "")
