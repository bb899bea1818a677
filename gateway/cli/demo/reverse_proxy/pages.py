"""What the origin of this demo says: a front page that is good for a second, and stories that are good for an hour.

Owns their text and their fields. Writing a page takes a while, saying that it has not changed takes none.
"""

from __future__ import annotations

import asyncio
import html
import random
from collections import Counter
from pathlib import Path
from string import Template

from gateway.cli.demo.origin import Question, Reply

FOLDER = Path(__file__).parent
WRITING_SECONDS = 0.3
FRONT_SECONDS = 1
STORY_SECONDS = 3600
STORIES = ("/news/1", "/news/2", "/news/3", "/news/4", "/news/5", "/news/6")
PARAGRAPHS = 60
TAG = "news"

_TEXT = (
    "the a one this every some old new quiet slow early northern river harbour market window garden "
    "lantern bridge letter morning winter ferry baker keeper captain neighbour visitor children people "
    "walked waited opened carried remembered found asked told left kept mended painted across under "
    "behind beside toward through over without until while because nobody somebody again often never "
    "almost twice home water bread light rain stone paper salt glass yellow grey green"
)
_WORDS = tuple(_TEXT.split())


class Pages:
    """The pages, and how often each was written."""

    def __init__(self) -> None:
        self.edition = 1
        """Grows when there is news: all pages are others then."""
        self.written: Counter[str] = Counter()
        front, story = (FOLDER / name for name in ("front.html", "story.html"))
        self._front = Template(front.read_text())
        self._story = Template(story.read_text())

    async def answer(self, question: Question) -> Reply:
        """A page, or that it is still as it was."""
        path = question.target.partition("?")[0]
        etag = f'"{path.strip("/").replace("/", "-") or "front"}-{self.edition}"'
        age = FRONT_SECONDS if path == "/" else STORY_SECONDS
        fields = (f"Cache-Control: public, max-age={age}", f"ETag: {etag}", f"Surrogate-Key: {TAG}")
        if etag.encode() in question.head:
            return Reply(b"", fields, "304 Not Modified")
        await asyncio.sleep(WRITING_SECONDS)
        self.written[path] += 1
        text = self._write_front() if path == "/" else self._write_story(path)
        return Reply(text.encode(), ("Content-Type: text/html; charset=utf-8", *fields))

    def _write_front(self) -> str:
        items = "\n".join(f'        <li><a href="{path}">{_title(path)}</a></li>' for path in STORIES)
        return self._front.substitute(edition=self.edition, stories=items)

    def _write_story(self, path: str) -> str:
        said = random.Random(f"{path} {self.edition}")
        paragraphs = "\n".join(
            f"      <p>{' '.join(_sentence(said) for _ in range(4))}</p>" for _ in range(PARAGRAPHS)
        )
        return self._story.substitute(title=html.escape(_title(path)), edition=self.edition, text=paragraphs)


def _title(path: str) -> str:
    """Always the same for a path."""
    said = random.Random(path)
    return " ".join(said.sample(_WORDS, 4)).capitalize()


def _sentence(said: random.Random) -> str:
    return " ".join(said.choices(_WORDS, k=said.randint(6, 14))).capitalize() + "."
