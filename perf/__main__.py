"""`python -m perf`: options, progress, and where results go."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from perf import report, results, runner, tools
from perf.lab import HERE
from perf.machine import machine
from perf.model import SUBJECT, Plan, Scenario, Unavailable
from perf.results import Outcome, Result
from perf.scenarios import SCENARIOS

QUICK = Plan(rounds=2, seconds=1)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="[SCENARIO]...")
@click.option("--rounds", type=click.IntRange(1, 100), help="Rounds of each contender.  [default: 5]")
@click.option("--seconds", type=click.IntRange(1, 600), help="Length of a round.  [default: 3]")
@click.option("--connections", type=click.IntRange(1, 4096), help="Client connections.  [default: 64]")
@click.option("--peers", help="Only these, as in nginx,haproxy; none for the gateway alone.")
@click.option("--quick", is_flag=True, help="Two rounds of one second: a first impression.")
@click.option("--readme", is_flag=True, help="Write perf/README.md even if the run is not a full one.")
def main(
    names: tuple[str, ...],
    rounds: int | None,
    seconds: int | None,
    connections: int | None,
    peers: str | None,
    quick: bool,
    readme: bool,
) -> None:
    """Measure CPU µs a request through the gateway and its peers.

    SCENARIO: plain, l7-balancer, sessions, scale, python-hook, tls, tls-sni, large, cache-hit, compress-gzip,
    compress-zstd, static-small, static-large, plugins; all by default.
    """
    signal.signal(signal.SIGTERM, _leave)
    given = {"rounds": rounds, "seconds": seconds, "connections": connections}
    plan = replace(QUICK if quick else Plan(), **{key: value for key, value in given.items() if value})
    kind = "quick" if quick else "partial" if names or peers is not None else "full"
    try:
        _require(plan)
        scenarios = [_select(SCENARIOS[name](), peers) for name in dict.fromkeys(names or SCENARIOS)]
        result = _measure(scenarios, plan, kind)
    except Unavailable as reason:
        sys.exit(f"perf: {reason}")
    _save(result, readme or kind == "full")
    console = Console()
    report.show(result, console if console.is_terminal else Console(width=160))


def _leave(number: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into an exception, so that everything that was started is stopped."""
    raise SystemExit(128 + number)


def _require(plan: Plan) -> None:
    for name in ("wrk", "nginx"):
        tools.find(name)
    cores = os.sched_getaffinity(0)
    if not {plan.proxy_core, plan.load_core} <= cores:
        raise Unavailable("cores 0 and 1 are needed: one for the proxy, one for load and origin")
    # What we do ourselves must not run on the proxy's core.
    os.sched_setaffinity(0, {plan.load_core})


def _select(scenario: Scenario, peers: str | None) -> Scenario:
    if peers is None:
        return scenario
    wanted = {SUBJECT, *(word.strip() for word in peers.split(","))}
    return replace(scenario, contenders=tuple(c for c in scenario.contenders if c.tool in wanted))


def _measure(scenarios: list[Scenario], plan: Plan, kind: str) -> Result:
    taken, facts = datetime.now(UTC), machine()
    outcomes: list[Outcome] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=sum(runner.steps(scenario, plan) for scenario in scenarios), start=True)

        def step(what: str) -> None:
            progress.update(task, description=what, advance=1)

        for scenario in scenarios:
            if not console.is_terminal:
                click.echo(f"perf: {scenario.name}", err=True)
            everyone = runner.run(scenario, plan, step)
            for measured in everyone:
                if measured.detail:
                    console.print(f"{measured.skipped}: {measured.detail}", highlight=False, markup=False)
            outcomes.append(results.outcome(scenario, everyone))
    return {
        "format": results.FORMAT,
        "taken": taken.isoformat(timespec="seconds"),
        "kind": kind,
        "plan": results.plan_facts(plan),
        "machine": facts,
        "versions": tools.versions(),
        "scenarios": outcomes,
    }


def _save(result: Result, readme: bool) -> None:
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    stamp = result["taken"][:16].replace(":", "")
    path = folder / f"{stamp}-{result['kind']}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    written = [path, *([report.README] if readme else [])]
    if readme:
        report.README.write_text(report.readme(result))
    click.echo("perf: wrote " + ", ".join(_shown(entry) for entry in written), err=True)


def _shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    main(prog_name="python -m perf")
