"""Carry out scenarios: start every contender, warm up, and measure them in turn, round after round.

All contenders of a scenario run at once but work one at a time, so that a slow minute of the machine
meets all of them; every second round goes backwards, so that a drift does, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from perf.lab import Lab, Server
from perf.load import drive, with_sessions
from perf.model import Contender, Load, Plan, Sample, Scenario, Unavailable

Report = Callable[[str], None]
"""Told what happens next; called once before every step of `steps`."""


@dataclass(slots=True)
class Measured:
    """A contender and what came of it: samples in the order of the rounds, or the reason why there are none."""

    contender: Contender
    samples: list[Sample] = field(default_factory=list)
    skipped: str = ""
    detail: str = ""
    """What the program itself said last. For the screen only: it may hold paths."""

    def skip(self, reason: Unavailable) -> None:
        self.skipped, self.detail = str(reason), reason.detail
        self.samples.clear()


def fitting(scenario: Scenario, plan: Plan) -> Plan:
    """The plan for a scenario. What one plugin adds is small: as much time, but in rounds of one second."""
    if scenario.compare == "added":
        return replace(plan, rounds=plan.rounds * plan.seconds, seconds=1)
    return plan


def steps(scenario: Scenario, plan: Plan) -> int:
    """How often `run` reports."""
    return len(scenario.contenders) * (1 + fitting(scenario, plan).rounds)


def run(scenario: Scenario, plan: Plan, report: Report) -> list[Measured]:
    """One Measured for each contender, in their order."""
    plan = fitting(scenario, plan)
    everyone = [Measured(contender) for contender in scenario.contenders]
    with Lab(plan) as lab:
        prepared: dict[str, tuple[Server, Load]] = {}
        for measured in everyone:
            report(f"{scenario.name}: {measured.contender.label} warms up")
            try:
                prepared[measured.contender.label] = _prepare(measured.contender, scenario, lab)
            except Unavailable as reason:
                measured.skip(reason)
        for number in range(plan.rounds):
            for measured in _order(everyone, number):
                report(f"{scenario.name}: {measured.contender.label} round {number + 1}/{plan.rounds}")
                if measured.skipped:
                    continue
                try:
                    server, load = prepared[measured.contender.label]
                    measured.samples.append(drive(server, load, plan, plan.seconds))
                except Unavailable as reason:
                    measured.skip(reason)
    return everyone


def _prepare(contender: Contender, scenario: Scenario, lab: Lab) -> tuple[Server, Load]:
    """Start it, see that it does what the scenario is about, and warm it up. With it comes the load it will get."""
    server = contender.launch(lab)
    for check in scenario.checks:
        lab.wait(server.url, contender.label, check)
    load = with_sessions(server, scenario.load)
    drive(server, load, lab.plan, lab.plan.warmup_seconds)
    return server, load


def _order(everyone: list[Measured], number: int) -> Iterable[Measured]:
    return reversed(everyone) if number % 2 else everyone
