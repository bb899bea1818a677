"""The page of the demo of reverse-proxy, in a browser: its picture, its film, and what comes from the cache."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, Response, sync_playwright

from gateway.testing import require_program

SEEK = """([name, seconds]) => new Promise((resolve, reject) => {
  const film = document.querySelector("video");
  film.addEventListener("error", () => reject(film.error.message));
  film.addEventListener("seeked", () => resolve([film.currentTime, film.videoWidth]));
  film.addEventListener("loadedmetadata", () => { film.currentTime = seconds; });
  film.src = name;
})"""
CUE = re.compile(rb"\xb3\x82(..)\xb7\x8b\xf7\x81\x01\xf1\x83(...)", re.DOTALL)
"""An entry of the film's index: milliseconds, and the place of the cluster in the segment."""
STAY = ("--step", "600")
"""Long enough to remain at the first stop, at which the origin serves."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = require_program("chromium")
    with sync_playwright() as playwright:
        # Chromium refuses to run its sandbox as root, as which CI runs.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


class Place(NamedTuple):
    """Where a demo is to be found."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def place(browser, module_demo) -> Place:
    staying = module_demo("reverse-proxy", *STAY)
    return Place(staying.read_url(), Path(staying.stdout.readline().split()[1]))


class Visit:
    """Somebody opens the page with an empty cache, and looks at what comes."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page: Page = browser.new_context().new_page()
        self.came: list[Response] = []
        self.page.on("response", lambda response: self.came.append(response))
        self.page.goto(f"{url}/")

    def answers_to(self, path: str) -> list[Response]:
        return [each for each in self.came if each.url.endswith(path)]


@pytest.fixture
def visit(browser, place) -> Iterator[Callable[[], Visit]]:
    visits: list[Visit] = []

    def start() -> Visit:
        visits.append(Visit(browser, place.url))
        return visits[-1]

    yield start
    for each in visits:
        each.page.context.close()


def is_from_cache(response: Response) -> bool:
    """Whether the gateway had it, or only asked the origin to confirm it."""
    status = response.headers["cache-status"]
    return "; hit" in status or "; fwd-status=304" in status


def begin_of(response: Response) -> int:
    """Where the part of a file begins that a response holds."""
    found = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return int(found[1]) if found else 0


def stretched(film: bytes, gap: int) -> bytes:
    """The same film with so many bytes of nothing (a Void element) before what is at 0:12, and the index mended."""
    void = b"\xec\x01" + gap.to_bytes(7, "big") + bytes(gap)
    segment = film.index(b"\x18\x53\x80\x67\x01") + 4
    begin, size = segment + 8, int.from_bytes(film[segment + 1 : segment + 8], "big") + len(void)
    where = next(int.from_bytes(place, "big") for time, place in CUE.findall(film) if time == b"\x2e\xe0")

    def moved(cue: re.Match[bytes]) -> bytes:
        place = int.from_bytes(cue[2], "big")
        return cue[0][:-3] + (place + len(void) * (place >= where)).to_bytes(3, "big")

    before, after = CUE.sub(moved, film[: begin + where]), film[begin + where :]
    return before[: segment + 1] + size.to_bytes(7, "big") + before[begin:] + void + after


def test_a_browser_sees_the_picture_and_seeks_in_the_film(visit):
    visitor = visit()
    assert visitor.page.evaluate("document.querySelector('img').naturalWidth") == 640
    assert visitor.page.evaluate(SEEK, ["/film.webm", 17]) == [17, 640]
    assert {part.status for part in visitor.answers_to("/film.webm")} == {206}


def test_of_a_long_film_a_browser_asks_for_the_part_that_it_needs(visit, place):
    film = stretched((place.folder / "film.webm").read_bytes(), 12 << 20)
    (place.folder / "long.webm").write_bytes(film)
    visitor = visit()
    with visitor.page.expect_response(lambda response: begin_of(response) > 12 << 20):
        assert visitor.page.evaluate(SEEK, ["/long.webm", 17]) == [17, 640]
    assert {part.status for part in visitor.answers_to("/long.webm")} == {206}


def test_what_comes_again_is_from_the_cache(visit):
    first = visit()
    first.came.clear()
    again = first.page.reload()
    assert again.status in (200, 304)
    assert is_from_cache(again)
    second = visit()
    page, picture = second.answers_to("/")[0], second.answers_to("/picture.svg")[0]
    assert (page.status, picture.status) == (200, 200)
    assert is_from_cache(page)
    assert "; hit; ttl=" in picture.headers["cache-status"]
    assert "Behind the gateway" in second.page.title()


def test_the_page_tells_how_it_comes(visit):
    row = visit().page.locator("tr[data-path='/news/1'] td").first
    row.filter(has_text="; hit; ttl=").wait_for(timeout=5000)
