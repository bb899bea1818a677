"""The command line: run, check, plugins, profiles, reload, restart, status, demo."""

from gateway.cli.main import main

__all__ = ["main"]
