"""Ask a running gateway: which one is meant, over which socket, and what if it refuses.

Owns the options that say so. Does not know what is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.config.loader import load
from gateway.errors import ConfigurationError
from gateway.process import admin

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
    if path is None and target is not None:
        try:
            path = load(target).settings().admin_socket
        except ConfigurationError:
            path = None  # a file that is wrong now may still be the one that a gateway runs
    return admin.find(target, path)
