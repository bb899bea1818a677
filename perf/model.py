"""The words of a benchmark run: scenario, contender, load, goal, plan, sample.

Plain frozen data. Does not start, measure or print anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from perf.lab import Lab, Server

SUBJECT = "gateway"
"""The tool under test; every other tool is a peer."""

Compare = Literal["ratio", "added"]

Routes = Sequence[tuple[str, tuple[str, ...]]]
"""Hosts, each with path prefixes; all lead to the same upstream."""


class Unavailable(Exception):
    """Something that the benchmark needs is not here, or did not start. One line; `detail` may say more."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Check:
    """One request that must be answered as said before anything is measured."""

    status: int = 200
    coding: str = ""
    """What Content-Encoding has to say: gzip or zstd, or empty for none."""
    body_bytes: int | None = None
    """The length of the body, decoded."""
    headers: tuple[str, ...] = ()
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Load:
    """What the load generator sends: one request, over and over. Headers are written `name: value`."""

    path: str = "/"
    headers: tuple[str, ...] = ()
    sessions: int = 0
    """So many clients come, are given cookies before anything is measured, and send them in turn."""
    cookies: tuple[str, ...] = ()
    """What they were given."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to be measured: a tool in one configuration."""

    label: str
    tool: str
    launch: Callable[[Lab], Server]
    """Starts it; raises Unavailable."""
    repeats: int = 1
    """In an `added` scenario: how many times the added thing is there. Its cost is divided by this."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """The most that the subject may cost: a ratio to `label`, or µs added by `label`."""

    label: str
    at_most: float
    then: float | None = None
    """The next goal, once this one is met."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load, and everyone that carries it. The first contender is what the others are compared with."""

    name: str
    summary: str
    contenders: tuple[Contender, ...]
    goals: tuple[Goal, ...] = ()
    load: Load = Load()
    checks: tuple[Check, ...] = (Check(),)
    compare: Compare = "ratio"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often. Bounds a run: contenders x (warm-up + rounds x seconds)."""

    rounds: int = 5
    seconds: int = 3
    warmup_seconds: int = 1
    connections: int = 64
    proxy_core: int = 0
    load_core: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One contender, one round."""

    requests: int
    errors: int
    """Socket errors and answers other than 2xx and 3xx."""
    seconds: float
    cpu_ns: int
    """User and system time of the whole process tree."""
    p50_us: float
    p99_us: float

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu_ns / 1000 / max(1, self.requests)

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def core_share(self) -> float:
        """How much of its core the contender used: 1.0 is all of it."""
        return self.cpu_ns / 1e9 / self.seconds
