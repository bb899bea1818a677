"""A result as text: cells for tables, rich tables for the screen, and perf/README.md.

Owns every format. Does not compute: all figures come from `results`.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from perf.lab import HERE
from perf.results import Figures, Outcome, Result, Verdict

README = HERE / "README.md"


def show(result: Result, console: Console) -> None:
    """Tables on the screen; Markdown without colours when the output is not a terminal."""
    for outcome in result["scenarios"]:
        console.print(f"\n[bold]{outcome['name']}[/]: {outcome['summary']}", highlight=False)
        if outcome["contenders"]:
            print_table(heads(outcome), [cells(entry, outcome) for entry in outcome["contenders"]], console)
        for skipped in outcome["skipped"]:
            console.print(f"  not measured: {skipped['label']} — {skipped['reason']}", highlight=False)
    rows = goal_rows(result)
    if rows:
        console.print("\n[bold]goals[/]")
        print_table(GOAL_HEADS, rows, console)


def print_table(names: list[str], rows: list[list[str]], console: Console) -> None:
    """One table, the first column to the left and the others to the right."""
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else box.MARKDOWN)
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(f"[red]{cell}[/]" if cell == MISSED else cell for cell in row))
    console.print(table)


def heads(outcome: Outcome) -> list[str]:
    """Column names. The last one depends on what is compared."""
    versus = "gateway ÷ this" if outcome["compare"] == "ratio" else "added µs"
    return ["", "CPU µs/request", "(range)", "requests/s", "p50 ms", "p99 ms", "core", versus]


def cells(entry: Figures, outcome: Outcome) -> list[str]:
    """One row. Errors, if there were any, stand beside the name: such a row proves nothing."""
    low, high = entry["cpu_us_range"]
    versus = entry["versus"]
    label = entry["label"] + (f" ({entry['note']})" if entry["note"] else "")
    return [
        label + (f" — {entry['errors']} errors" if entry["errors"] else ""),
        number(entry["cpu_us"]),
        f"{number(low)} – {number(high)}",
        f"{entry['requests_per_second']:,.0f}",
        f"{entry['p50_us'] / 1000:.2f}",
        f"{entry['p99_us'] / 1000:.2f}",
        f"{entry['core_share']:.0%}",
        "" if versus is None else f"{versus:.2f}" if outcome["compare"] == "ratio" else f"{versus:+.2f}",
    ]


def number(value: float) -> str:
    """Three figures are what a benchmark can tell."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


MET, MISSED = "met", "missed"
GOAL_HEADS = ["scenario", "against", "goal", "measured", "", "next"]


def goal_rows(result: Result) -> list[list[str]]:
    """Every goal that this run can judge."""
    return [_goal(outcome, verdict) for outcome in result["scenarios"] for verdict in outcome["goals"]]


def _goal(outcome: Outcome, verdict: Verdict) -> list[str]:
    unit = "" if outcome["compare"] == "ratio" else " µs"
    return [
        outcome["name"],
        verdict["label"],
        f"≤ {verdict['at_most']}{unit}",
        f"{verdict['figure']:.2f}{unit}",
        MET if verdict["is_met"] else MISSED,
        f"≤ {verdict['then']}{unit}" if verdict["then"] is not None else "",
    ]


def readme(result: Result) -> str:
    """The whole of perf/README.md: the method from method.md, the figures from this run."""
    method = (HERE / "method.md").read_text()
    return (
        "\n".join(
            [
                "<!-- Written by `make bench`; the words come from perf/method.md. -->",
                method.rstrip(),
                "",
                "## Figures",
                "",
                *_facts(result),
                "",
                "### Goals",
                "",
                *_markdown(GOAL_HEADS, goal_rows(result)),
                *(line for outcome in result["scenarios"] for line in _section(outcome)),
            ]
        ).rstrip()
        + "\n"
    )


def _facts(result: Result) -> list[str]:
    machine, plan = result["machine"], result["plan"]
    programs = " · ".join(f"{name} {version}" for name, version in result["versions"].items())
    return [
        f"Taken {result['taken'][:10]} on {machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB, "
        f"{machine['kernel']}, {machine['distribution']}; load average before the run {machine['load_before']}.",
        f"{plan['rounds']} rounds of {plan['seconds']} s after {plan['warmup_seconds']} s of warm-up, "
        f"{plan['connections']} connections; medians, with the lowest and highest round beside them.",
        "",
        programs,
    ]


def _section(outcome: Outcome) -> list[str]:
    rows = [cells(entry, outcome) for entry in outcome["contenders"]]
    skipped = [f"- not measured: {entry['label']} ({entry['reason']})" for entry in outcome["skipped"]]
    intro = [
        "",
        f"### `{outcome['name']}`",
        "",
        f"{outcome['summary'][0].upper()}{outcome['summary'][1:]}.",
        "",
    ]
    table = _markdown(heads(outcome), rows) if rows else []
    return [*intro, *table, *([""] if table and skipped else []), *skipped]


def _markdown(names: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(names) - 1)]
    return [f"| {' | '.join(row)} |" for row in (names, rule, *rows)]
