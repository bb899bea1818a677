"""Ask a running gateway: which one is meant, over which socket, and what if it refuses.

Owns the options that say so. Does not know what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from gateway.config.loader import load
from gateway.errors import ConfigurationError
from gateway.process import admin

_ADMIN_SOCKET = re.compile(r"""^\s*admin_socket\s*=\s*(["'])(.+?)\1""", re.MULTILINE).search

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
    """The reply of the gateway that is meant; what it warns of is printed.

    Raises ConfigurationError if it refuses or nobody answers.
    """
    reply = admin.ask(_socket(target, path), command, **arguments)
    if "error" in reply:
        raise ConfigurationError(reply["error"])
    warn(reply.get("warnings", ()))
    return reply


def _socket(target: str | None, path: Path | None) -> Path:
    """As given, as the site file says, or found among the running ones."""
    if path is not None or target is None:
        return admin.find(target, path)
    # A file that is wrong by now, or names another socket, may still be the one that a gateway runs.
    configured, wrong = _configured(Path(target))
    if configured is not None and admin.is_served(configured):
        return configured
    try:
        return admin.find(target)
    except ConfigurationError as error:
        if configured is not None:
            told = f"no answer on {configured}; if admin_socket was another one at the start, name that by --admin"
            raise ConfigurationError(f"{wrong}\n{told}" if wrong else told) from None
        if not wrong:
            raise
        raise ConfigurationError(f"{wrong}\n{error}") from None


def _configured(site: Path) -> tuple[Path | None, str]:
    """The admin socket that a site file names, even if the file is wrong otherwise; and what is wrong with it."""
    try:
        return load(str(site)).settings().admin_socket, ""
    except ConfigurationError as error:
        wrong = str(error)
    try:
        found = _ADMIN_SOCKET(site.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, wrong if site.suffix == ".toml" else ""
    return (site.resolve().parent / found[2] if found else None), wrong


def warn(lines: Iterable[str]) -> None:
    """What is right but will not stay so, to stderr."""
    for line in lines:
        click.secho(f"gateway: warning: {line}", fg="yellow", err=True)
