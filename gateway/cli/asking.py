"""Ask a running gateway: which one is meant, over which socket, and what if it refuses.

Owns the options that say so. Does not know what is asked.
"""

from __future__ import annotations

import re
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
site_argument = click.argument("target", required=False, metavar="[SITE.TOML]")
site_option = click.option("--site", "target", metavar="SITE.TOML", help="Which gateway, if several are running.")


def ask_running(command: str, target: str | None, path: Path | None, **arguments: Any) -> dict[str, Any]:
    """The reply of the gateway that is meant. Raises ConfigurationError if it refuses or nobody answers."""
    reply = admin.ask(_socket(target, path), command, **arguments)
    if "error" in reply:
        raise ConfigurationError(reply["error"])
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
        raise ConfigurationError(f"{wrong}\n{error}") from None if wrong else error


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
