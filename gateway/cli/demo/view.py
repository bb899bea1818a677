"""How the demo looks: the stops of the tour above a live table on a terminal, a line a second in a pipe.

Owns shares, rates and their looks. Starts and counts nothing.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import NamedTuple

import click
from rich import box
from rich.bar import Bar
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

COLOURS = ("cyan", "magenta", "yellow", "green")
STATE_COLOURS = {"up": "green", "down": "red", "draining": "yellow"}
BAR_WIDTH = 24
RECENT_SECONDS = 3.0
"""Shares and rates are those of the last so many seconds."""
LINE_SECONDS = 1.0


class Row(NamedTuple):
    """One origin, up to now."""

    name: str
    address: str
    state: str
    served: int
    strangers: int
    """Answers to requests without a session."""
    visitors: tuple[str, ...]


class Counts(NamedTuple):
    """What there is at a time."""

    at: float
    rows: tuple[Row, ...]
    failed: int
    """Of our own requests."""

    @property
    def total(self) -> int:
        """All that was answered."""
        return sum(row.served for row in self.rows)

    @property
    def strangers(self) -> int:
        """Answers to strangers."""
        return sum(row.strangers for row in self.rows)


class View:
    """What somebody sees from the first line to the last."""

    def __init__(self, url: str, command: str) -> None:
        """`url` of the gateway, and the `command` that it was started with."""
        self._url = url
        self._command = command
        self._recent: deque[Counts] = deque()
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._start = self._last_line = 0.0

    def __enter__(self) -> View:
        out = self._console
        out.print(f"[dim]$ {escape(self._command)}[/]", soft_wrap=True)
        out.print(f"\n[bold]gateway[/]  {self._url}", soft_wrap=True)
        out.print(f"[bold]try[/]      curl -i {self._url}/", soft_wrap=True)
        out.print("[bold]stop[/]     Ctrl-C")
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
            self._console.print(f"  {escape(text)}")
        for line in lines:
            prompt = "" if line.startswith("+") else "$ "
            self._console.print(f"  [dim]{prompt}{escape(line)}[/]", soft_wrap=True)

    def found(self, text: str, *, is_good: bool = True) -> None:
        """What was to be seen at this stop."""
        mark = "[green]✓[/]" if is_good else "[red]✗[/]"
        self._console.print(f"  {mark} {escape(text)}", soft_wrap=True)

    def show(self, counts: Counts) -> None:
        """Bring it up to date. To be called a few times a second."""
        self._recent.append(counts)
        while len(self._recent) > 2 and self._recent[1].at < counts.at - RECENT_SECONDS:
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
        by_name = ", ".join(f"{row.name} {row.served}" for row in counts.rows)
        click.echo(f"{counts.total} requests: {by_name}; {counts.failed or 'none'} failed. Stopping the gateway.")

    def _shares(self, counts: Counts) -> list[float]:
        """Of the strangers of the last seconds."""
        before = {row.name: row.strangers for row in self._recent[0].rows} if self._recent else {}
        came = [row.strangers - before.get(row.name, 0) for row in counts.rows]
        return [count / max(1, sum(came)) for count in came]

    def _rate(self, counts: Counts) -> float:
        before = self._recent[0] if self._recent else counts
        seconds = counts.at - before.at
        return (counts.total - before.total) / seconds if seconds else 0.0

    def _table(self, counts: Counts) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
        table.add_column("Origin", "all")
        table.add_column("Address")
        table.add_column("State", min_width=8)
        table.add_column("Requests", str(counts.total), justify="right")
        table.add_column("Strangers, last 3 s", f"{self._rate(counts):.0f} requests/s")
        table.add_column("", f"{counts.failed} failed" if counts.failed else "none failed", justify="right")
        table.add_column("Visitors", min_width=12)
        for row, colour, share in zip(counts.rows, COLOURS, self._shares(counts), strict=False):
            table.add_row(
                f"[{colour}]{row.name}[/]",
                row.address,
                f"[{STATE_COLOURS.get(row.state, 'yellow')}]{row.state}[/]",
                str(row.served),
                Bar(1, 0, share, width=BAR_WIDTH, color=colour),
                f"{share:.0%}",
                " ".join(row.visitors),
            )
        return table

    def _line(self, counts: Counts) -> str:
        told = []
        for row, share in zip(counts.rows, self._shares(counts), strict=True):
            state = "" if row.state in ("", "up") else f" {row.state}"
            visitors = f" [{' '.join(row.visitors)}]" if row.visitors else ""
            told.append(f"{row.name} {share:>4.0%}{state}{visitors}")
        failed = f"   {counts.failed} failed" if counts.failed else ""
        return f"{counts.at - self._start:>4.0f} s   {'   '.join(told)}   {self._rate(counts):>3.0f}/s{failed}"
