"""Ask a running gateway: which one is meant, over which socket, and what if it refuses.

Owns the options that say so. Does not know what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from gateway.config.loader import load
from gateway.errors import ConfigurationError
from gateway.process import admin

admin_option = click.option(
    "--admin", "path", type=click.Path(path_type=Path), help="The admin socket, if it was configured."
)
site_option = click.option("--site", "target", metavar="SITE.TOML", help="Which gateway, if several are running.")


def site_argument(function: Callable[..., None]) -> Callable[..., None]:
    """For commands without other arguments: the site file as an argument, or by `--site` as with the others."""

    @click.argument("target", required=False, metavar="[SITE.TOML]")
    @click.option("--site", metavar="SITE.TOML", help="The same, as commands with other arguments have it.")
    @wraps(function)
    def asked(*arguments: Any, target: str | None, site: str | None, **options: Any) -> None:
        if target and site:
            raise click.UsageError(f"the site file is named twice: {target} and --site {site}")
        function(*arguments, target=target or site, **options)

    return asked


class SiteCommand(click.Command):
    """A command whose arguments say something else, so that the site file is named by `--site`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ever; what is too much is told with the option that was meant."""
        ctx.allow_extra_args = True
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            hint = f"; which gateway is meant is said by --site {extra[0]}" if extra[0].endswith(".toml") else ""
            raise click.UsageError(f"there is no use for {' '.join(map(repr, extra))}{hint}", ctx)
        return extra


def ask_running(command: str, target: str | None, path: Path | None, **arguments: Any) -> dict[str, Any]:
    """The reply of the gateway that is meant. Raises ConfigurationError if it refuses or nobody answers."""
    reply = admin.ask(_socket(target, path), command, **arguments)
    if "error" in reply:
        raise ConfigurationError(reply["error"])
    return reply


def _socket(target: str | None, path: Path | None) -> Path:
    """As given, as the site file says, or found among the running ones."""
    if path is None and target is not None:
        try:
            path = load(target).settings().admin_socket
        except ConfigurationError:
            path = None  # a file that is wrong now may still be the one that a gateway runs
    return admin.find(target, path)
