"""The command `explain`: where would this request go, and why.

Owns how a request is written on the command line and how the answer looks. The answer itself is made by
`gateway.explaining`, from the code that serves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import orjson
from rich.markup import escape
from rich.table import Table

from gateway.app import App
from gateway.cli.asking import admin_option, ask_running
from gateway.cli.endpoints import COLOURS
from gateway.cli.show import console
from gateway.config.loader import load
from gateway.errors import ConfigurationError
from gateway.explaining import explain_unstarted, read_request
from gateway.hooks import REVERSED_HOOKS

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 5.6.2


@click.command()
@click.argument("target", metavar="SITE.TOML")
@click.argument("request", metavar="'GET /path'", required=False)
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME: VALUE", help="A header; may be repeated.")
@click.option("-d", "--data", "body", help="The body, for routes that look at it.")
@click.option("--client", default="127.0.0.1", show_default=True, help="The client's address.")
@click.option("--scheme", type=click.Choice(["http", "https", "ws", "wss"]), default="http", show_default=True)
@click.option("--live", is_flag=True, help="Ask the running gateway, with its endpoints as they stand now.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@admin_option
def explain(
    target: str,
    request: str | None,
    headers: tuple[str, ...],
    body: str | None,
    client: str,
    scheme: str,
    live: bool,
    as_json: bool,
    path: Path | None,
) -> None:
    """Say where a request would go and why: route, hooks, endpoints, pick. Nothing is sent."""
    if request is None:
        raise click.UsageError(f"which request? Say it as in: gateway explain {target} 'GET /path'")
    method, place = _request_line(request)
    asked: dict[str, Any] = {
        "method": method,
        "target": place,
        "headers": _headers(headers),
        "client": client,
        "scheme": scheme,
        "body": body,
    }
    if live:
        record = ask_running("explain", target, path, request=asked)["explained"]
    else:
        try:
            read = read_request(asked)
        except ValueError as error:
            raise ConfigurationError(f"not a request: {error}") from None
        record = explain_unstarted(App(load(target)), *read)
    if as_json:
        click.echo(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(record)


COMMANDS = (explain,)


def _request_line(text: str) -> tuple[str, str]:
    """Method and target of `GET /path`, or of a path alone; a version behind it, as in a request, may stay."""
    words = text.split(" ")
    if len(words) == 3 and words[2].startswith("HTTP/"):
        words.pop()
    *methods, target = words
    method = methods[0] if methods else "GET"
    is_target = target.startswith("/") or (target == "*" and method == "OPTIONS")
    if len(methods) > 1 or not _METHOD(method) or not is_target:
        raise ConfigurationError(f"a request is written 'GET /path', not {text!r}")
    return method, target


def _headers(given: tuple[str, ...]) -> list[tuple[str, str]]:
    """The headers, with a Host if none is given: no request gets far without one."""
    headers = []
    for line in given:
        name, colon, value = line.partition(":")
        if not colon:
            raise ConfigurationError(f"a header is written 'name: value', not {line!r}")
        headers.append((name.strip().lower(), value.strip()))
    if not any(name == "host" for name, _ in headers):
        headers.insert(0, ("host", "localhost"))
    return headers


def _print(record: dict[str, Any]) -> None:
    out = console()
    out.print(f"[bold]{escape(record['request'])}[/]", highlight=False)
    out.print("\n[bold]Route[/]" + ("" if record["routes"] else "  none is configured"))
    for verdict in record["routes"]:
        mark = "[green]✓[/]" if verdict["reason"] == "taken" else "[red]✗[/]"
        out.print(f"  {mark} {escape(verdict['route'])}: {escape(verdict['reason'])}", highlight=False)
    if record.get("hooks"):
        out.print("\n[bold]Hooks[/], in the order in which they run")
        for hook, plugins in record["hooks"].items():
            arrow = " ← " if hook in REVERSED_HOOKS else " → "
            out.print(f"  {hook}: {arrow.join(plugins)}", highlight=False)
    if "split" in record:
        split = record["split"]
        weights = ", ".join(f"{name} {weight:g}" for name, weight in split["weights"].items())
        told = f"[bold]Split[/] {escape(weights)}: took {escape(split['took'])}, {escape(split['why'])}"
        out.print("\n" + told, highlight=False)
    if "endpoints" in record:
        out.print(f"\n[bold]Upstream[/] {record['upstream']}, balancer {record['balancer']}", highlight=False)
        if "forwarded_path" in record:
            out.print(f"Path rewritten to {escape(record['forwarded_path'])}", highlight=False)
        if record["endpoints"]:
            out.print(_endpoints(record["endpoints"], record.get("pick", "")))
    if "note" in record:
        out.print(f"[yellow]Note[/] {escape(record['note'])}", highlight=False, soft_wrap=True)
    if "answer" in record:
        out.print(f"\n[bold]Answer[/] {escape(record['answer'])}", highlight=False)
    if "location" in record:
        out.print(f"[bold]Location[/] {escape(record['location'])}", highlight=False)
    if "refused" in record:
        out.print(f"\n[red]Refused[/] {record['refused']}", highlight=False)
    elif "pick" in record:
        out.print(f"[bold]Pick[/] [green]{escape(record['pick'])}[/], by {record['picked_by']}", highlight=False)


def _endpoints(endpoints: list[dict[str, Any]], pick: str) -> Table:
    table = Table("", "Endpoint", "State", "Weight", "In flight", "Candidate, or why not")
    for item in endpoints:
        state = f"[{COLOURS[item['state']]}]{item['state']}[/]"
        mark = "[green]→[/]" if item["endpoint"] == pick else ""
        counts = (str(item["effective_weight"]), str(item["in_flight"]))
        table.add_row(mark, escape(item["endpoint"]), state, *counts, escape(item["reason"]))
    return table
