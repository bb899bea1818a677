"""What the listing commands print: tables on a terminal, plain text when piped.

Owns the looks. Does not load or change anything beyond what it shows.
"""

from __future__ import annotations

import inspect
from datetime import datetime
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from gateway.app import App
from gateway.cli.asking import warn
from gateway.cli.plugin_settings import plain, settings_in_force
from gateway.config.loader import Source, installed_profiles, read_profile
from gateway.config.model import PluginUse, Settings
from gateway.errors import ConfigurationError
from gateway.failures import refusal
from gateway.hooks import EXCHANGE_HOOKS, HOOK_NAMES, REVERSED_HOOKS
from gateway.listeners.tls import check_certificates
from gateway.pipeline import order_hooks
from gateway.process.privileges import find_user
from gateway.registry import Registry, configured, find_plugin, installed_plugins
from gateway.upstream.balancer import WEIGHED_INSTEAD
from gateway.upstream.group import Upstream

TOLD_SECONDS = 2.0
"""A worker that answers later than so is worth a word in `gateway status`."""


def console() -> Console:
    """Where tables go; wide enough for pipes not to wrap."""
    shown = Console()
    return shown if shown.is_terminal else Console(width=160, no_color=True)


def checked(source: Source) -> None:
    """Build everything, as a worker would, and print what came out."""
    app = App(source)
    if app.settings.user:
        find_user(app.settings.user, source.name)
    _ask_plugins(app)
    certificates = check_certificates(app.settings.listeners, source.name)
    out = console()
    effective = app.settings.model_dump(mode="json", exclude={"plugins", "routes"}, exclude_none=True)
    out.print("[bold]Configuration[/] (profile, site and defaults together)")
    out.print_json(orjson.dumps(plain(effective)).decode())
    out.print("\n[bold]Listeners[/]")
    for listener, way in zip(app.settings.listeners, app.ways, strict=True):
        out.print(f"  {listener.url}  HTTP {listener.http_mode}, {way.describe(listener)}", highlight=False)
    out.print("\n[bold]Routes[/]")
    for route in app.router.routes:
        matched = route.match.describe()
        label = matched if route.name == matched else f"{route.name}: {matched}"
        tree = Tree(Text(f"{label} → {route.destination}"))
        for hook in EXCHANGE_HOOKS:
            steps = route.pipeline.steps[hook]
            if steps:
                arrow = " ← " if hook in REVERSED_HOOKS else " → "
                tree.add(f"{hook}: {arrow.join(step.plugin for step in steps)}")
        out.print(tree, highlight=False)
    if not app.router.routes:
        out.print("  [yellow]none: every request gets 404[/]")
    names = " → ".join(name for name, _ in app.plugins) or "none"
    out.print(f"\n[bold]Plugins[/], from client to upstream: {names}", highlight=False)
    if settings := settings_in_force(app):
        out.print("\n[bold]Settings of plugins[/] (profile and site together, where they say something)")
        out.print_json(orjson.dumps(settings).decode())
    for upstream in app.upstreams.values():
        if upstream.ignored:
            out.print(_note_of_ignored(upstream), highlight=False, soft_wrap=True)
    warn(certificates.warnings)
    out.print("[green]The configuration is valid.[/]")


def _note_of_ignored(upstream: Upstream) -> Text:
    return Text(
        f"Note: upstreams.{upstream.name}: the balancer {upstream.settings.balancer.use!r} takes no notice of"
        f" {' and '.join(upstream.ignored)}; {WEIGHED_INSTEAD!r} would",
        style="yellow",
    )


def _ask_plugins(app: App) -> None:
    """Have every plugin say what it would refuse to start with. Raises ConfigurationError."""
    lists = (app.plugins, *(route.pipeline.plugins for route in app.router.routes))
    for name, plugin in {id(plugin): (name, plugin) for plugins in lists for name, plugin in plugins}.values():
        for step in order_hooks([(name, plugin)])["on_check"]:
            try:
                step.call(app)
            except Exception as error:
                raise ConfigurationError(refusal(app.source.name, name, plugin, error, "on_check")) from error


def plugins(as_schema: bool) -> None:
    """The installed plugins."""
    loaded = {name: _load(name, entry) for name, entry in installed_plugins().items()}
    if as_schema:
        schemas = {name: _schema(cls) for name, cls in loaded.items() if isinstance(cls, type)}
        click.echo(orjson.dumps(schemas, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("Plugin", "Version", "Provides", "Settings")
    for name, entry in installed_plugins().items():
        cls = loaded[name]
        if isinstance(cls, type):
            table.add_row(
                name, _version(entry), _provides(cls), ", ".join(_schema(cls).get("properties", {})) or "–"
            )
        else:
            table.add_row(name, _version(entry), f"[red]{cls}[/]", "")
    out = console()
    out.print(table if loaded else "No plugin is installed; try: pip install gateway-balancing")


def _load(name: str, entry: EntryPoint) -> type | str:
    try:
        return find_plugin(PluginUse(use=name, where="installed"))
    except ConfigurationError as error:
        return str(error)


def _version(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "?"


def _schema(cls: type) -> dict[str, Any]:
    model = getattr(cls, "Config", None)
    schema: dict[str, Any] = model.model_json_schema() if model is not None else {"type": "object"}
    return schema


def _provides(cls: type) -> str:
    hooks = [name for name in sorted(HOOK_NAMES) if inspect.isfunction(getattr(cls, name, None))]
    strategies: list[str] = []
    if "register" in hooks and not getattr(cls, "Config", None):
        hooks.remove("register")
        registry = Registry()
        registry.collect(configured(cls, {}, "installed"), cls.__name__)
        strategies = [f"{kind} {name}" for kind in registry.kinds() for name in registry.names(kind)]
    return ", ".join([*strategies, *hooks])


def profiles(as_schema: bool) -> None:
    """The installed profiles."""
    if as_schema:
        click.echo(orjson.dumps(Settings.model_json_schema(), option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("Profile", "Version", "What it is", "Plugins, from client to upstream")
    for name, entry in installed_profiles().items():
        data = read_profile(name, Path())
        uses = [item if isinstance(item, str) else item["use"] for item in data.get("plugins", [])]
        table.add_row(name, _version(entry), data.get("description", ""), " → ".join(uses))
    out = console()
    out.print(table if table.row_count else "No profile is installed; try: pip install gateway-profile-l7-balancer")


def status(reply: dict[str, Any]) -> None:
    """The workers and listeners of a running gateway."""
    out = console()
    up = f"pid {reply['pid']}, up for {reply['up_seconds']:.0f} s"
    out.print(f"[bold]{reply['target']}[/], {up}", highlight=False)
    for url in reply["listeners"]:
        out.print(f"  {url}", highlight=False)
    out.print(f"configuration in force since {_clock(reply['in_force'])}", highlight=False)
    if refused := reply.get("refused"):
        what = f"the last {refused['what']} failed, at {_clock(refused['at'])}"
        out.print(f"[red]{what}: {escape(refused['reason'])}[/]", highlight=False)
    if deaths := reply.get("deaths"):
        what = f"{deaths['count']} worker{'s have' if deaths['count'] != 1 else ' has'} died"
        since, last = _clock(deaths["first"]), _clock(deaths["last"])
        out.print(f"[red]{what} since {since}, the last at {last}: {escape(deaths['how'])}[/]", highlight=False)
    rows = [(str(worker["index"]), str(worker["pid"]), *_health(worker)) for worker in reply["workers"]]
    rows += [("draining", str(pid), "", "") for pid in reply["draining"]]
    table = Table("Worker", "pid", "Age", *(["Trouble"] if any(trouble for *_, trouble in rows) else []))
    for row in rows:
        table.add_row(*row[: len(table.columns)])
    out.print(table)


def _health(worker: dict[str, Any]) -> tuple[str, str]:
    """The age of a worker, and what is wrong with it."""
    if not worker["is_running"]:
        return "[red]dead[/]", f"[red]{escape(worker['ending'])}[/]"
    silent = worker["silent_seconds"]
    note = f"[red]does not answer for {silent:g} s[/]" if silent >= TOLD_SECONDS else ""
    return f"{worker['age']:.0f} s", note


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
