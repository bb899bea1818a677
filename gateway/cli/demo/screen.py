"""How a demo looks: the stops of the tour above a live table on a terminal, a line a second in a pipe.

Owns what all tours show alike. What is in the table and in the line is a board's business.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from gateway.cli.demo.child import Child

BAR_WIDTH = 24
LINE_SECONDS = 1.0


class Hint(NamedTuple):
    """One line of the head: a word, and what can be typed or opened."""

    word: str
    text: str


class Board(Protocol):
    """What is counted, as it is now."""

    def table(self) -> Table:
        """For a terminal."""

    def line(self) -> str:
        """For a pipe."""

    def summary(self) -> str:
        """What came of it all."""


class Screen:
    """What somebody sees from the first line to the last."""

    def __init__(self, child: Child, hints: Sequence[Hint]) -> None:
        self._child = child
        self._hints = (Hint("gateway", child.url), *hints, Hint("stop", "Ctrl-C"))
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> Screen:
        out = self._console
        out.print(f"[dim]$ {escape(self._child.command)}[/]\n", soft_wrap=True)
        for word, text in self._hints:
            out.print(f"[bold]{word:<7}[/]  {escape(text)}", soft_wrap=True)
        if out.is_terminal and not out.is_dumb_terminal:
            self._live = Live(console=out, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def stop_at(self, title: str, text: str, *lines: str) -> None:
        """The tour has come to its next stop: a title, what it is about, and what is typed or written there."""
        self._console.print(f"\n[bold cyan]{escape(title)}[/]", soft_wrap=True)
        if text:
            for line in textwrap.wrap(text, self._console.width - 2):
                self._console.print(f"  {escape(line)}", soft_wrap=True)
        for line in lines:
            prompt = "" if line.startswith("+") else "$ "
            self._console.print(f"  [dim]{prompt}{escape(line)}[/]", soft_wrap=True)

    def row(self, text: str) -> None:
        """One thing that happens at this stop, in columns that are already made, with markup."""
        self._console.print(f"  {text}", soft_wrap=True)

    def draw(self, drawing: RenderableType) -> None:
        """What happens at this stop, as a table."""
        self._console.print(Padding(drawing, (0, 0, 0, 2), expand=False))

    def found(self, text: str, *, is_good: bool = True) -> None:
        """What was to be seen at this stop."""
        mark = "[green]✓[/]" if is_good else "[red]✗[/]"
        self._console.print(f"  {mark} {escape(text)}", soft_wrap=True)

    def show(self, board: Board) -> None:
        """Bring it up to date. To be called a few times a second."""
        now = time.monotonic()
        if self._live is not None:
            self._live.update(board.table(), refresh=True)
        elif now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            click.echo(f"{now - self._start:>4.0f} s   {board.line()}")

    def close(self, board: Board) -> None:
        """The last table, and what came of it all."""
        if self._live is not None:
            self._live.update(board.table(), refresh=True)
            self._live.stop()
        click.echo(f"{board.summary()} Stopping the gateway.")
