"""The commands about a running gateway's endpoints: list them, drain, take out, bring back, weigh; and its metrics.

Owns their arguments and looks. What they do is `gateway.process.operations`' business.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import orjson
from rich.markup import escape
from rich.table import Table

from gateway.cli.asking import SiteCommand, admin_option, ask_running, site_argument, site_option
from gateway.cli.show import console
from gateway.metrics import exposition
from gateway.process.operations import MOST_WEIGHT

COLOURS = {"up": "green", "draining": "yellow", "maintenance": "yellow", "down": "red"}


@click.command()
@site_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@admin_option
def endpoints(target: str | None, as_json: bool, path: Path | None) -> None:
    """Show every endpoint of a running gateway: its state and why, weight, exchanges in flight."""
    found = ask_running("endpoints", target, path)["endpoints"]
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        console().print(_table(found))


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table("Upstream", "Endpoint", "State", "Weight", "Priority", "Zone", "In flight", "Connections", "Why")
    for item in found:
        state = item["state"]
        why = "; ".join(f"{source}: {mark['reason']}" for source, mark in item["marks"].items())
        counts = (item["weight"], item["priority"], item["zone"], item["in_flight"], item["connections"])
        coloured = f"[{COLOURS[state]}]{state}[/]"
        table.add_row(
            item["upstream"], escape(item["endpoint"]), coloured, *map(escape, map(str, counts)), escape(why)
        )
    return table


@click.command()
@site_argument
@admin_option
def metrics(target: str | None, path: Path | None) -> None:
    """Print the numbers of a running gateway, all workers together, in the text format of Prometheus."""
    click.echo(exposition(ask_running("metrics", target, path)["metrics"]), nl=False)


_upstream = click.argument("upstream")
_endpoint = click.argument("endpoint", metavar="HOST:PORT")
_reason = click.option("--reason", default="", help="For the log and for `gateway endpoints`.")


def _state_command(name: str, meaning: str) -> click.Command:
    """A command that sets the state of an endpoint."""

    @click.command(name, cls=SiteCommand, help=meaning)
    @_upstream
    @_endpoint
    @_reason
    @site_option
    @admin_option
    def set_state(upstream: str, endpoint: str, reason: str, target: str | None, path: Path | None) -> None:
        _say(ask_running(name, target, path, upstream=upstream, endpoint=endpoint, reason=reason))

    return set_state


STATE_COMMANDS = (
    _state_command("drain", "Send nothing new to an endpoint; sessions that it has and exchanges in flight go on."),
    _state_command(
        "maintenance",
        "Send nothing at all to an endpoint; its sessions move. Exchanges in flight go on.",
    ),
    _state_command("enable", "Bring an endpoint back that was drained or taken out."),
)


class _Weight(click.ParamType[int]):
    """A whole number; how large it may be says the gateway."""

    name = "weight"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if not re.fullmatch(r"[0-9]+", str(value)):
            self.fail(f"a weight is a whole number from 0 to {MOST_WEIGHT}, not {value!r}", param, ctx)
        return int(value)


class _WeightCommand(SiteCommand):
    """A number below zero looks like an option, which it is not meant to be."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ever, but for such a number."""
        for word in args:
            if re.fullmatch(r"-\.?[0-9][0-9.]*", word):
                _Weight().convert(word, None, ctx)
        return super().parse_args(ctx, args)


@click.command(cls=_WeightCommand)
@_upstream
@_endpoint
@click.argument("weight", type=_Weight())
@site_option
@admin_option
def weight(upstream: str, endpoint: str, weight: int, target: str | None, path: Path | None) -> None:
    """Change an endpoint's weight for as long as the gateway runs; 0 takes it out of the balancing."""
    _say(ask_running("weight", target, path, upstream=upstream, endpoint=endpoint, weight=weight))


def _say(reply: dict[str, Any]) -> None:
    click.echo(reply["done"])


COMMANDS = (endpoints, *STATE_COMMANDS, weight, metrics)
