"""How the demo looks: a live table on a terminal, a line a second in a pipe.

Owns shares, rates and their looks. Starts and counts nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

import click
from rich import box
from rich.bar import Bar
from rich.console import Console
from rich.live import Live
from rich.table import Table

COLORS = ("cyan", "magenta", "yellow")
BAR_WIDTH = 32
RATE_SECONDS = 3.0
"""The rate is that of the last so many seconds."""
LINE_SECONDS = 1.0


class Counts(NamedTuple):
    """What was answered up to a time, by each origin in order, and how many of our own requests failed."""

    at: float
    served: tuple[int, ...]
    failed: int

    @property
    def total(self) -> int:
        """All that was answered."""
        return sum(self.served)


class View:
    """What the visitor sees from the first line to the last."""

    def __init__(self, url: str, command: str, origins: Sequence[tuple[str, str]]) -> None:
        """`url` of the gateway, the `command` that it was started with, and name and URL of each origin."""
        self._url = url
        self._command = command
        self._origins = origins
        self._recent: deque[Counts] = deque()
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._start = self._last_line = 0.0

    def __enter__(self) -> View:
        out = self._console
        out.print(f"[dim]$ {self._command}[/]" if out.is_terminal else f"$ {self._command}", soft_wrap=True)
        out.print(f"\n[bold]gateway[/]  {self._url}", soft_wrap=True)
        for name, url in self._origins:
            out.print(f"[bold]origin[/]   {url}  {name}", soft_wrap=True)
        out.print(f"[bold]try[/]      curl -i {self._url}/", soft_wrap=True)
        out.print("[bold]stop[/]     Ctrl-C\n")
        if out.is_terminal and not out.is_dumb_terminal:
            self._live = Live(console=out, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, counts: Counts) -> None:
        """Bring it up to date. To be called a few times a second."""
        self._recent.append(counts)
        while len(self._recent) > 2 and self._recent[1].at < counts.at - RATE_SECONDS:
            self._recent.popleft()
        self._start = self._start or counts.at
        if self._live is not None:
            self._live.update(self._table(counts), refresh=True)
        elif counts.at - max(self._last_line, self._start) >= LINE_SECONDS:
            self._last_line = counts.at
            click.echo(self._line(counts))

    def close(self, counts: Counts) -> None:
        """The last table, and what came of it all."""
        if self._live is not None:
            self._live.update(self._table(counts), refresh=True)
            self._live.stop()
        by_name = ", ".join(f"{name} {served}" for (name, _), served in self._each(counts))
        click.echo(f"{counts.total} requests: {by_name}; {counts.failed or 'none'} failed. Stopping the gateway.")

    def _each(self, counts: Counts) -> list[tuple[tuple[str, str], int]]:
        return list(zip(self._origins, counts.served, strict=True))

    def _rates(self, counts: Counts) -> list[float]:
        before = self._recent[0]
        seconds = counts.at - before.at
        return [
            (new - old) / seconds if seconds else 0.0 for new, old in zip(counts.served, before.served, strict=True)
        ]

    def _table(self, counts: Counts) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
        rates = self._rates(counts)
        table.add_column("Origin", "all")
        table.add_column("Requests", str(counts.total), justify="right", min_width=8)
        table.add_column("Share")
        table.add_column("", f"{counts.failed} failed" if counts.failed else "none failed", justify="right")
        table.add_column("Rate", f"{sum(rates):.1f}/s", justify="right", min_width=8)
        for ((name, _), served), color, rate in zip(self._each(counts), COLORS, rates, strict=True):
            share = served / max(1, counts.total)
            bar = Bar(1, 0, share, width=BAR_WIDTH, color=color)
            table.add_row(f"[{color}]{name}[/]", str(served), bar, f"{share:.0%}", f"{rate:.1f}/s")
        return table

    def _line(self, counts: Counts) -> str:
        shares = "   ".join(
            f"{name} {served:>4} ({served / max(1, counts.total):>4.0%})"
            for (name, _), served in self._each(counts)
        )
        failed = f"   {counts.failed} failed" if counts.failed else ""
        return f"{counts.at - self._start:>4.0f} s   {shares}   {sum(self._rates(counts)):>5.1f}/s{failed}"
