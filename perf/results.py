"""From samples to figures: medians, ratios and goals, as plain data for JSON.

Does not measure and does not format.
"""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import TypedDict

from perf.model import Compare, Goal, Plan, Sample, Scenario
from perf.runner import Measured

FORMAT = 1


class Figures(TypedDict):
    """A contender's medians over the rounds."""

    label: str
    note: str
    cpu_us: float
    cpu_us_range: tuple[float, float]
    requests_per_second: float
    p50_us: float
    p99_us: float
    core_share: float
    errors: int
    versus: float | None
    """ratio: the subject's CPU over this one's. added: this one's CPU over the subject's, a copy. None: no pair."""
    samples: list[dict[str, float]]


class Verdict(TypedDict):
    """A goal and where it stands."""

    label: str
    at_most: float
    then: float | None
    figure: float
    is_met: bool


class Skipped(TypedDict):
    """A contender that was not measured, and why."""

    label: str
    reason: str


class Outcome(TypedDict):
    """One scenario of a run."""

    name: str
    summary: str
    compare: Compare
    contenders: list[Figures]
    goals: list[Verdict]
    skipped: list[Skipped]


class Result(TypedDict):
    """A whole run: what is written as JSON, and what the README is rendered from."""

    format: int
    taken: str
    """UTC, ISO 8601."""
    kind: str
    """full, partial or quick."""
    plan: dict[str, int]
    machine: dict[str, str | int | float]
    versions: dict[str, str]
    scenarios: list[Outcome]


def outcome(scenario: Scenario, everyone: list[Measured]) -> Outcome:
    """The figures of one scenario."""
    present = [measured for measured in everyone if measured.samples]
    figures = [_figures(measured, everyone[0], scenario.compare) for measured in present]
    return {
        "name": scenario.name,
        "summary": scenario.summary,
        "compare": scenario.compare,
        "contenders": figures,
        "goals": [verdict for goal in scenario.goals if (verdict := _verdict(goal, figures))],
        "skipped": [{"label": m.contender.label, "reason": m.skipped} for m in everyone if m.skipped],
    }


def plan_facts(plan: Plan) -> dict[str, int]:
    return asdict(plan)


def _figures(measured: Measured, subject: Measured, compare: Compare) -> Figures:
    samples = measured.samples
    costs = [sample.cpu_us_per_request for sample in samples]
    return {
        "label": measured.contender.label,
        "note": measured.contender.note,
        "cpu_us": _rounded(median(costs)),
        "cpu_us_range": (_rounded(min(costs)), _rounded(max(costs))),
        "requests_per_second": round(median(sample.requests_per_second for sample in samples)),
        "p50_us": median(sample.p50_us for sample in samples),
        "p99_us": median(sample.p99_us for sample in samples),
        "core_share": round(median(sample.core_share for sample in samples), 3),
        "errors": sum(sample.errors for sample in samples),
        "versus": _versus(measured, subject, compare),
        "samples": [_sample(sample) for sample in samples],
    }


def _versus(measured: Measured, subject: Measured, compare: Compare) -> float | None:
    """The median over the rounds of the comparison within one round, where both met the same conditions."""
    if measured is subject or not subject.samples:
        return None
    pairs = [
        (ours.cpu_us_per_request, theirs.cpu_us_per_request)
        for ours, theirs in zip(subject.samples, measured.samples, strict=True)
    ]
    if compare == "ratio":
        return _rounded(median(ours / theirs for ours, theirs in pairs))
    return _rounded(median(theirs - ours for ours, theirs in pairs) / measured.contender.repeats)


def _verdict(goal: Goal, figures: list[Figures]) -> Verdict | None:
    for entry in figures:
        figure = entry["versus"]
        if entry["label"] == goal.label and figure is not None:
            return {
                "label": goal.label,
                "at_most": goal.at_most,
                "then": goal.then,
                "figure": figure,
                "is_met": figure <= goal.at_most,
            }
    return None


def _sample(sample: Sample) -> dict[str, float]:
    return {**asdict(sample), "cpu_us": _rounded(sample.cpu_us_per_request)}


def _rounded(value: float) -> float:
    return round(value, 3)
