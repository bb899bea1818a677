"""The commands and how their errors reach the operator: one clear line, exit status 2.

Owns options and exit statuses; what a command does is elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli import show
from gateway.cli.demo import demo
from gateway.config.loader import Source, load
from gateway.errors import ConfigurationError
from gateway.process import admin
from gateway.process.logs import set_up_logging
from gateway.process.supervisor import Supervisor


class _Commands(click.Group):
    """Turns a ConfigurationError into one line and exit status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.secho(f"gateway: {error}", fg="red", err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="gateway", message="gateway %(version)s")
def main() -> None:
    """A plugin-based L7 load balancer and reverse proxy."""


_target = click.argument("target", metavar="SITE.TOML|PROFILE")
_listen = click.option(
    "--listen",
    multiple=True,
    metavar="ADDR:PORT",
    help="Listen here; :PORT means every IPv4 address; may be repeated.",
)
_upstream = click.option("--upstream", multiple=True, metavar="URL", help="An endpoint; may be repeated.")
_workers = click.option("--workers", type=click.IntRange(1, 256), help="Worker processes; default: one a core.")
_admin = click.option(
    "--admin", "path", type=click.Path(path_type=Path), help="The admin socket, if it was configured."
)


@main.command()
@_target
@_listen
@_upstream
@_workers
def run(target: str, listen: tuple[str, ...], upstream: tuple[str, ...], workers: int | None) -> None:
    """Serve a site file, or a profile with --listen and --upstream."""

    def read() -> Source:
        return load(target, listen=listen, upstream=upstream, workers=workers)

    set_up_logging("info")
    asyncio.run(_run(read, target))


async def _run(read: Any, target: str) -> None:
    await Supervisor(read, target).run()


@main.command()
@_target
@_listen
@_upstream
def check(target: str, listen: tuple[str, ...], upstream: tuple[str, ...]) -> None:
    """Print the effective configuration, the listeners and each route's pipeline; exit 2 if it is wrong."""
    show.checked(load(target, listen=listen, upstream=upstream))


@main.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of every plugin's configuration.")
def plugins(schema: bool) -> None:
    """List the installed plugins: version, what they provide, their configuration."""
    show.plugins(as_schema=schema)


@main.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a site file.")
def profiles(schema: bool) -> None:
    """List the installed profiles and their plugins in order."""
    show.profiles(as_schema=schema)


def _admin_socket(target: str | None, path: Path | None) -> Path:
    """The socket of the gateway that is meant: as given, as its site file says, or found among those running."""
    if path is None and target is not None:
        try:
            path = load(target).settings().admin_socket
        except ConfigurationError:
            path = None  # a file that is wrong now may still be the one that a gateway runs
    return admin.find(target, path)


def _ask(command: str, target: str | None, path: Path | None) -> None:
    reply = admin.ask(_admin_socket(target, path), command)
    if "error" in reply:
        raise ConfigurationError(reply["error"])
    click.echo(reply["done"])


@main.command()
@click.argument("target", required=False, metavar="[SITE.TOML]")
@_admin
def reload(target: str | None, path: Path | None) -> None:
    """Have a running gateway read its configuration anew; one that is wrong changes nothing."""
    _ask("reload", target, path)


@main.command()
@click.argument("target", required=False, metavar="[SITE.TOML]")
@_admin
def restart(target: str | None, path: Path | None) -> None:
    """Replace the workers of a running gateway one by one, without refusing a connection."""
    _ask("restart", target, path)


@main.command()
@click.argument("target", required=False, metavar="[SITE.TOML]")
@_admin
def status(target: str | None, path: Path | None) -> None:
    """Show the workers and listeners of a running gateway."""
    show.status(admin.ask(_admin_socket(target, path), "status"))


main.add_command(demo)


if __name__ == "__main__":
    sys.exit(main())
