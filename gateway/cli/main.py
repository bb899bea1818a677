"""The commands and how their errors reach the operator: one clear line, exit status 2.

Owns options and exit statuses; what a command does is elsewhere.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click

from gateway.cli.asking import admin_option, ask_running, site_argument
from gateway.cli.self_signed import with_self_signed
from gateway.config.loader import Source, load
from gateway.errors import ConfigurationError
from gateway.process.logs import set_up_logging
from gateway.process.supervisor import Supervisor

_WITH_TABLES = {
    "demo": "demo",
    "drain": "endpoints",
    "enable": "endpoints",
    "endpoints": "endpoints",
    "explain": "explain",
    "maintenance": "endpoints",
    "metrics": "endpoints",
    "weight": "endpoints",
}
"""The modules of commands that are loaded when they are called, as `show` is: to load what draws tables takes
longer than to ask a running gateway, and `run` draws none."""


class _Commands(click.Group):
    """The core's commands and those of installed plugins; a ConfigurationError is one line and exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_WITH_TABLES, *_plugin_commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        if cmd_name in _WITH_TABLES:
            module = import_module(f"gateway.cli.{_WITH_TABLES[cmd_name]}")
            found: click.Command = next(command for command in module.COMMANDS if command.name == cmd_name)
            return found
        entry = _plugin_commands().get(cmd_name)
        brought: click.Command | None = entry.load() if entry is not None else None
        return brought

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.secho(f"gateway: {error}", fg="red", err=True)
            ctx.exit(2)


def _plugin_commands() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="gateway.commands")}


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="gateway", message="gateway %(version)s")
def main() -> None:
    """A plugin-based L7 load balancer and reverse proxy."""
    gc.freeze()  # what was imported stays: the collector need not look through it while the gateway is built


_target = click.argument("target", metavar="SITE.TOML|PROFILE")
_listen = click.option(
    "--listen",
    multiple=True,
    metavar="ADDR:PORT",
    help="Listen here; :PORT means every IPv4 address; may be repeated.",
)
_upstream = click.option("--upstream", multiple=True, metavar="URL", help="An endpoint; may be repeated.")
_root = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False),
    help="Serve the files of this folder; what is not there goes to the endpoints (needs gateway-static).",
)
_self_signed = click.option(
    "--tls-self-signed",
    is_flag=True,
    help="Terminate TLS with a certificate of our own making, for local work (needs gateway-tls).",
)
_workers = click.option("--workers", type=click.IntRange(1, 256), help="Worker processes; default: one a core.")


@main.command()
@_target
@_listen
@_upstream
@_root
@_self_signed
@_workers
def run(
    target: str,
    listen: tuple[str, ...],
    upstream: tuple[str, ...],
    root: str | None,
    tls_self_signed: bool,
    workers: int | None,
) -> None:
    """Serve a site file, or a profile with --listen and --upstream."""

    def read() -> Source:
        source = load(target, listen=listen, upstream=upstream, workers=workers, root=root)
        return with_self_signed(source) if tls_self_signed else source

    set_up_logging("info")
    asyncio.run(Supervisor(read, target).run())


@main.command()
@_target
@_listen
@_upstream
@_root
def check(target: str, listen: tuple[str, ...], upstream: tuple[str, ...], root: str | None) -> None:
    """Print the effective configuration, the listeners and each route's pipeline; exit 2 if it is wrong."""
    from gateway.cli import show

    show.checked(load(target, listen=listen, upstream=upstream, root=root))


@main.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of every plugin's configuration.")
def plugins(schema: bool) -> None:
    """List the installed plugins: version, what they provide, their configuration."""
    from gateway.cli import show

    show.plugins(as_schema=schema)


@main.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a site file.")
def profiles(schema: bool) -> None:
    """List the installed profiles and their plugins in order."""
    from gateway.cli import show

    show.profiles(as_schema=schema)


@main.command()
@site_argument
@admin_option
def reload(target: str | None, path: Path | None) -> None:
    """Have a running gateway read its configuration anew; one that is wrong changes nothing."""
    _say(ask_running("reload", target, path))


@main.command()
@site_argument
@admin_option
def restart(target: str | None, path: Path | None) -> None:
    """Replace the workers of a running gateway one by one, without refusing a connection."""
    _say(ask_running("restart", target, path))


@main.command()
@site_argument
@admin_option
def status(target: str | None, path: Path | None) -> None:
    """Show the workers and listeners of a running gateway."""
    from gateway.cli import show

    show.status(ask_running("status", target, path))


def _say(reply: dict[str, Any]) -> None:
    click.echo(reply["done"])


if __name__ == "__main__":
    sys.exit(main())
