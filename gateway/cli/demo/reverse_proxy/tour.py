"""The stops of this tour: what is asked of the gateway, and what it does with it.

Owns their order, texts and deeds. How they look is the screen's business.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from rich.bar import Bar
from rich.markup import escape
from rich.table import Table

from gateway.cli.demo.child import Child
from gateway.cli.demo.origin import Origin
from gateway.cli.demo.people import Answer, Client
from gateway.cli.demo.reverse_proxy.pages import FRONT_SECONDS, TAG, WRITING_SECONDS, Pages
from gateway.cli.demo.reverse_proxy.readers import BROWSER, COLOURS, FETCHED, FRESH, STALE, Readers, kind_of
from gateway.cli.demo.screen import BAR_WIDTH, Screen
from gateway.cli.demo.show import Tour

AT_ONCE = 20
CODINGS = ("identity", "gzip", "br", "zstd")
ALONE, TOGETHER, ENCODED = "/archive/1", "/archive/2", "/archive/3"
"""Stories that nobody else reads: the first request for each is the tour's."""
STORY, FILM = "/news/1", "/film.webm"


class Scene:
    """Everything that the stops act upon, and what the gateway says of its endpoint."""

    def __init__(self, child: Child, origin: Origin, pages: Pages, client: Client, readers: Readers) -> None:
        self.child = child
        self.origin = origin
        self.pages = pages
        self.client = client
        self.readers = readers
        self.state = ""

    @property
    def failed(self) -> int:
        """Requests of readers and of the tour."""
        return self.client.failed

    async def look(self) -> None:
        """Ask the gateway for the state."""
        (endpoint,) = (await self.child.ask("endpoints"))["endpoints"]
        self.state = endpoint["state"]


class ProxyTour(Tour):
    """Six stops, each with a few requests of its own beside those of the readers."""

    def __init__(self, scene: Scene, screen: Screen, step: float) -> None:
        super().__init__(screen, step)
        self._scene = scene
        self._url = scene.child.url

    @property
    def stops(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """In their order."""
        return (self.hits, self.many, self.codings, self.outage, self.purge, self.film)

    @property
    def failed(self) -> int:
        """Requests of ours that failed, up to now."""
        return self._scene.failed

    @property
    def commands(self) -> Sequence[str]:
        """What to try when the tour is over."""
        return (f"curl -i {self._url}/ -H 'Cache-Control: no-cache'", "gateway purge --all", "gateway metrics")

    async def hits(self) -> None:
        """A miss, and hits."""
        began = time.monotonic()
        self._tell(
            "A miss, then hits",
            f"The origin takes {WRITING_SECONDS} s to write a page. Who comes first waits for that; all others get"
            " what is stored. Cache-Status tells which it was.",
            f"curl -i {self._url}{ALONE}",
        )
        miss, *hits = [await self._ask(ALONE) for _ in range(3)]
        gain = miss.seconds / min(hit.seconds for hit in hits)
        is_good = [kind_of(answer.field("cache-status")) for answer in (miss, *hits)] == [FETCHED, FRESH, FRESH]
        self._screen.found(f"from the cache {gain:.0f} times faster", is_good=is_good)
        await self._stay(began)

    async def many(self) -> None:
        """Many ask for what is not stored."""
        began = time.monotonic()
        self._tell(
            f"{AT_ONCE} at once",
            "They ask for the same page, which is not stored. One request goes to the origin; the others wait for"
            " what comes of it.",
        )
        answers = await asyncio.gather(*(self._scene.client.get(TOGETHER) for _ in range(AT_ONCE)))
        for status, count in Counter(answer.field("cache-status") for answer in answers).most_common():
            self._screen.row(f"{count:>2} × {_coloured(status)}")
        written = self._scene.pages.written[TOGETHER]
        times = "once" if written == 1 else f"{written} times"
        self._screen.found(f"{AT_ONCE} answers, written {times}", is_good=written == 1)
        await self._stay(began)

    async def codings(self) -> None:
        """A page in each coding."""
        began = time.monotonic()
        self._tell(
            "Encoded once",
            "For everybody who likes the same coding best; what is stored is the encoded page.",
            f"curl -i {self._url}{ENCODED} -H 'Accept-Encoding: zstd' -o /dev/null -D -",
        )
        table = Table.grid(padding=(0, 2))
        sizes: dict[str, int] = {}
        for coding in CODINGS:
            await self._scene.client.get(ENCODED, f"Accept-Encoding: {coding}")
            again = await self._scene.client.get(ENCODED, f"Accept-Encoding: {coding}")
            sizes[coding] = int(again.field("content-length") or 0)
            share = sizes[coding] / (sizes["identity"] or 1)
            table.add_row(
                coding,
                f"{sizes[coding]:,} bytes",
                Bar(1, 0, share, width=BAR_WIDTH, color="cyan"),
                f"{share:.0%}",
                _coloured(again.field("cache-status")),
            )
        self._screen.draw(table)
        best = min(sizes.values())
        is_good = best > 0 and all(sizes[coding] < sizes["identity"] for coding in CODINGS[1:])
        self._screen.found(f"{1 - best / (sizes['identity'] or 1):.0%} saved on the way", is_good=is_good)
        await self._stay(began)

    async def outage(self) -> None:
        """The origin stops."""
        scene, began = self._scene, time.monotonic()
        self._tell(
            "The origin stops",
            "It refuses connections. Stories are good for an hour anyway; the front page was for a second, and is"
            " served beyond that, because nobody can be asked for a newer one.",
            f"curl -i {self._url}/",
        )
        await scene.readers.read_everything()
        before = scene.readers.kinds[STALE]
        scene.origin.die()
        died = time.monotonic()
        await self._until(lambda: time.monotonic() - died > FRONT_SECONDS and scene.state != "up")
        await self._until(lambda: scene.readers.kinds[STALE] > before)
        is_good = kind_of((await self._ask("/")).field("cache-status")) == STALE
        await self._stay(began)
        count = scene.readers.kinds[STALE] - before
        self._screen.found(f"{count} stale page{'' if count == 1 else 's'} and no error", is_good=is_good)

    async def purge(self) -> None:
        """The origin comes back, with news."""
        scene, began = self._scene, time.monotonic()
        scene.pages.edition += 1
        self._tell(
            "The origin comes back, with news",
            "It is asked again as soon as a check has passed. Its stories are others now, but those that are stored"
            f" are good for an hour: they are purged, by the tag that the origin gave them (Surrogate-Key: {TAG}).",
            f"curl -i {self._url}{STORY}",
            f"gateway purge --tag {TAG}",
        )
        await scene.origin.start()
        await self._until(lambda: scene.state == "up")
        old = await self._ask(STORY, BROWSER)
        reply = await scene.child.ask("purge", urls=[], prefixes=[], tags=[TAG], all=False)
        new = await self._ask(STORY, BROWSER)
        self._screen.found(f"{reply['result']['purged']} stored responses forgotten")
        editions = _edition(old), _edition(new)
        self._screen.found(
            f"edition {editions[0]} before, edition {editions[1]} after",
            is_good=editions == (scene.pages.edition - 1, scene.pages.edition),
        )
        await self._stay(began)

    async def film(self) -> None:
        """Files, by parts."""
        began = time.monotonic()
        self._tell(
            "A film, by parts",
            f"It is a file of the folder, which the origin knows nothing of. Open {self._url}/ in a browser, and"
            " seek in it: only what is needed is asked for.",
            f"curl -i {self._url}{FILM} -r -1000 -o /dev/null -D -",
        )
        begin = await self._ask(FILM, "Range: bytes=0-999", shown="content-range")
        end = await self._ask(FILM, "Range: bytes=-1000", shown="content-range")
        parts = [len(answer.body) for answer in (begin, end) if answer.status == 206]
        self._screen.found("parts of 1,000 bytes came", is_good=parts == [1000, 1000])
        again = await self._ask(FILM, f"If-None-Match: {begin.field('etag')}", shown="etag")
        self._screen.found("who has it already is sent nothing", is_good=again.status == 304)
        await self._stay(began)

    async def _ask(self, path: str, *fields: str, shown: str = "cache-status") -> Answer:
        """A request of the tour, and a row that tells of it and of one field of the answer."""
        answer = await self._scene.client.get(path, *fields)
        value = answer.field(shown)
        told = _coloured(value) if shown == "cache-status" else escape(f"{shown}: {value}")
        self._screen.row(f"GET {path:<12} {answer.status}   {answer.seconds * 1000:>5.1f} ms   {told}")
        return answer


def _coloured(status: str) -> str:
    """A Cache-Status, as markup."""
    return f"[{COLOURS[kind_of(status)]}]{escape(status)}[/]"


def _edition(answer: Answer) -> int:
    """Which one somebody got, as its ETag tells; 0 if there is none."""
    return int(answer.field("etag").strip('W/"').rpartition("-")[2] or 0)
