"""`make fuzz`: every target for a while, one after another, and a table of what was found.

Owns options, progress, and where inputs go that break a property. What a target is: `fuzz_targets`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import fuzz_process
import fuzz_targets
from fuzz_process import Outcome
from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

ARTIFACTS = Path("build/fuzz")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--seconds", type=click.IntRange(1, 86400), default=600, help="For each target.  [default: 600]")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, help="Targets at a time.  [default: 1]")
@click.option("--keep", is_flag=True, help="Add to the corpora what reached new code, as few inputs as do.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=fuzz_targets.HERE, help="Of targets/ and corpus/."
)
def main(targets: tuple[str, ...], seconds: int, jobs: int, keep: bool, folder: Path) -> None:
    """Fuzz the code that reads untrusted bytes. Without a TARGET all of them, each from the inputs of its corpus.

    Ends with status 1 and the path of the input if a property was broken.
    """
    known = fuzz_targets.names(folder)
    unknown = set(targets) - set(known)
    if unknown:
        sys.exit(f"fuzz: no target {min(unknown)!r}; there are {', '.join(known)}")
    wanted = [name for name in known if name in targets] if targets else known
    console = Console()
    console.print(f"{len(wanted)} targets, {seconds} s each, {jobs} at a time", highlight=False)
    with tempfile.TemporaryDirectory(prefix="gateway-fuzz-") as place:
        found = list(_fuzz(wanted, folder, Path(place), seconds, jobs, keep, console))
    _show(found, folder, console)
    sys.exit(1 if any(outcome.is_broken for outcome in found) else 0)


def _fuzz(
    names: list[str], folder: Path, place: Path, seconds: int, jobs: int, keep: bool, console: Console
) -> Iterator[Outcome]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<22}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress, ThreadPoolExecutor(jobs) as pool:

        def run(name: str) -> Outcome:
            task: TaskID = progress.add_task(name, at="")
            try:
                return fuzz_process.run(
                    name, folder, place / name, ARTIFACTS, seconds, keep, lambda at: progress.update(task, at=at)
                )
            finally:
                progress.remove_task(task)

        try:
            for number, outcome in enumerate(pool.map(run, names), 1):
                line = f"{number:>3} of {len(names)}  {outcome.name:<22} {outcome.summary}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
                yield outcome
        finally:  # after Ctrl-C those that wait for their turn do not begin
            pool.shutdown(cancel_futures=True)


def _show(found: list[Outcome], folder: Path, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else box.MARKDOWN)
    table.add_column("Target", no_wrap=True)
    for name in ("Inputs", "a second", "Corpus", "Edges", "Kept"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for outcome in found:
        figures = outcome.inputs, outcome.per_second, outcome.corpus, outcome.edges, outcome.kept
        state = "[red]broken[/]" if outcome.is_broken else "held"
        table.add_row(outcome.name, *(f"{figure:,}" for figure in figures), state)
    console.print(table)
    for outcome in found:
        if outcome.is_broken:
            console.print(f"\n{outcome.name}: {outcome.why}", highlight=False, markup=False, soft_wrap=True)
            for line in outcome.traceback:
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            if outcome.artifact is not None:
                corpus = folder / "corpus" / outcome.name
                console.print(f"The input is in {outcome.artifact}", highlight=False, soft_wrap=True)
                console.print(f"Put it into {corpus}, and the tests replay it.", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
