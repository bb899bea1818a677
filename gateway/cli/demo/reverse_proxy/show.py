"""The demo of `reverse-proxy` on stage: what it starts, and what is counted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from rich import box
from rich.bar import Bar
from rich.table import Table

from gateway.cli.demo.child import running
from gateway.cli.demo.origin import serving
from gateway.cli.demo.people import Client
from gateway.cli.demo.recent import Recent
from gateway.cli.demo.reverse_proxy.pages import FOLDER, Pages
from gateway.cli.demo.reverse_proxy.readers import COLOURS, CONFIRMED, FETCHED, FRESH, KINDS, STALE, Readers
from gateway.cli.demo.reverse_proxy.site import site_file
from gateway.cli.demo.reverse_proxy.tour import ProxyTour, Scene
from gateway.cli.demo.screen import BAR_WIDTH, Hint, Screen

LABELS = {
    FRESH: "fresh from the cache",
    STALE: "stale from the cache",
    CONFIRMED: "confirmed by the origin",
    FETCHED: "fetched",
}


@asynccontextmanager
async def staged(listen: str, folder: Path, stop: asyncio.Event) -> AsyncIterator[ProxyShow]:
    """An origin, its gateway with a folder of files, and readers."""
    async with AsyncExitStack() as stack:
        pages = Pages()
        origin = await stack.enter_async_context(serving("origin", pages.answer))
        # A copy: somebody may want to lay a file of their own beside them.
        public = shutil.copytree(FOLDER / "public", folder / "public", copy_function=shutil.copyfile)
        site = folder / "site.toml"
        site.write_text(site_file(listen, public, origin.address))
        child = await stack.enter_async_context(running(site, stop))
        client = Client(child.url)
        readers = Readers(client)
        stack.push_async_callback(readers.end)
        yield ProxyShow(Scene(child, origin, pages, client, readers), public)


class ProxyShow:
    """A row for each way in which readers were answered, and how often the origin was asked."""

    def __init__(self, scene: Scene, public: Path) -> None:
        self.child = scene.child
        url = self.child.url
        self.hints: Sequence[Hint] = (
            Hint("files", str(public)),
            Hint("open", f"{url}/   in a browser: a page with a picture and a film"),
            Hint("try", f"curl -i {url}/news/1"),
            Hint("", f"curl -i {url}/news/1 -H 'Accept-Encoding: zstd' -o /dev/null -D -"),
            Hint("", f"curl -i {url}/film.webm -r 1000-1999 -o /dev/null -D -"),
        )
        self._scene = scene
        self._recent = Recent()

    def tour(self, screen: Screen, step: float) -> ProxyTour:
        """The walk, from its first stop."""
        return ProxyTour(self._scene, screen, step)

    async def look(self) -> None:
        """See what there is now."""
        await self._scene.look()
        self._recent.add(self._scene.readers.kinds)

    async def end(self) -> None:
        """Let what is under way come home."""
        await self._scene.readers.end()

    def table(self) -> Table:
        """For a terminal."""
        kinds, origin, state = self._scene.readers.kinds, self._scene.origin, self._scene.state
        failed = f"{self._scene.failed or 'none'} failed"
        table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
        table.add_column("Readers get it", "all", min_width=max(map(len, LABELS.values())))
        table.add_column("Last 3 s", f"{self._recent.rate():.0f} requests/s", min_width=BAR_WIDTH)
        table.add_column("", failed, justify="right", min_width=len("none failed"))
        table.add_column("Requests", str(kinds.total()), justify="right")
        for kind, share in zip(KINDS, self._recent.shares(KINDS), strict=True):
            table.add_row(
                f"[{COLOURS[kind]}]{LABELS[kind]}[/]",
                Bar(1, 0, share, width=BAR_WIDTH, color=COLOURS[kind]),
                f"{share:.0%}",
                str(kinds[kind]),
            )
        colour = "green" if state == "up" else "red"
        table.caption = f"Origin {origin.address} is [{colour}]{state}[/] and was asked {origin.served} times"
        table.caption_justify, table.caption_style = "left", "none"
        return table

    def line(self) -> str:
        """For a pipe."""
        shares = zip(KINDS, self._recent.shares(KINDS), strict=True)
        told = "   ".join(f"{kind} {share:>4.0%}" for kind, share in shares)
        origin = f"origin {self._scene.state}, asked {self._scene.origin.served} times"
        failed = f"   {self._scene.failed} failed" if self._scene.failed else ""
        return f"{told}   {self._recent.rate():>3.0f}/s   {origin}{failed}"

    def summary(self) -> str:
        """What came of it all."""
        kinds = self._scene.readers.kinds
        told = ", ".join(f"{kind} {kinds[kind]}" for kind in KINDS)
        asked = f"the origin was asked {self._scene.origin.served} times"
        return f"{kinds.total()} requests: {told}; {self._scene.failed or 'none'} failed; {asked}."
