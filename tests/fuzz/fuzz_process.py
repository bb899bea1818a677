"""Run one target under libFuzzer in a process of its own, and read what it says.

Owns libFuzzer's options and output. New inputs go to a folder that does not last.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(__file__).with_name("fuzz_one.py")
ONE_INPUT_SECONDS = 10
MAX_MEMORY_MIB = 2048

_STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)/\S+.* exec/s: (\d+)").match
_ARTIFACT = re.compile(r"Test unit written to (\S+)").search
_ERROR = re.compile(r"==\d+== ERROR: (.*)").match
_RAISED = "=== Uncaught Python exception: ==="


@dataclass(slots=True)
class Outcome:
    """What became of a target."""

    name: str
    inputs: int = 0
    edges: int = 0
    corpus: int = 0
    per_second: int = 0
    kept: int = 0
    """Inputs that were added to its corpus."""
    is_broken: bool = False
    why: str = ""
    """The line that says what was broken."""
    traceback: list[str] = field(default_factory=list)
    artifact: Path | None = None
    """The input that broke it."""

    @property
    def summary(self) -> str:
        """A line for people."""
        if self.is_broken:
            return f"broken: {self.why}"
        return f"held for {self.inputs:,} inputs, {self.per_second:,} a second, {self.edges} edges"


def run(
    name: str, folder: Path, place: Path, artifacts: Path, seconds: int, keep: bool, tell: Callable[[str], None]
) -> Outcome:
    """Fuzz for so many seconds; `tell` gets a word on the progress. `place` is the folder that does not last."""
    place.mkdir(parents=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus" / name
    options = [
        f"-max_total_time={seconds}", f"-timeout={ONE_INPUT_SECONDS}", f"-rss_limit_mb={MAX_MEMORY_MIB}",
        f"-artifact_prefix={artifacts.resolve()}/{name}-", str(place), str(corpus),
    ]  # fmt: skip
    process = subprocess.Popen(
        _command(name, folder, options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    outcome = Outcome(name)
    try:
        assert process.stdout is not None
        _follow(process.stdout, outcome, tell)
        status = process.wait()
    finally:
        process.kill()
        process.wait()
    if status:
        outcome.is_broken = True
    elif keep:
        outcome.kept = _merge(name, folder, place, corpus)
    shutil.rmtree(place)
    return outcome


def _command(name: str, folder: Path, options: list[str]) -> list[str]:
    return [sys.executable, str(PROGRAM), str(folder), name, *options]


def _follow(lines: Iterable[str], outcome: Outcome, tell: Callable[[str], None]) -> None:
    is_raised = False
    for line in map(str.rstrip, lines):
        if match := _STATUS(line):
            outcome.inputs, outcome.edges, outcome.corpus, outcome.per_second = map(int, match.groups())
            tell(f"{outcome.inputs:,} inputs, {outcome.corpus} kept for now, {outcome.edges} edges")
        elif match := _ARTIFACT(line):
            outcome.artifact = Path(match[1])
        elif match := _ERROR(line):
            outcome.why = outcome.why or match[1]
        elif _RAISED in line:
            is_raised = True
        elif line.startswith("SUMMARY:"):
            is_raised = False
        elif is_raised and line:
            outcome.traceback.append(line)
        elif line and not outcome.inputs:
            outcome.why = line  # what the process says before it begins is why it does not
    if outcome.traceback:
        outcome.why = outcome.traceback.pop(0)


def _merge(name: str, folder: Path, place: Path, corpus: Path) -> int:
    """Add to the corpus the smallest set of new inputs that reaches what all of them reach; how many those are."""
    before = len(list(corpus.iterdir()))
    command = _command(name, folder, ["-merge=1", str(corpus), str(place)])
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return len(list(corpus.iterdir())) - before


__all__ = ["Outcome", "run"]
