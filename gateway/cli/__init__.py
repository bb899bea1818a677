"""The command line: run, check, explain, plugins, profiles, commands to a running gateway, demo."""

from gateway.cli.main import main

__all__ = ["main"]
