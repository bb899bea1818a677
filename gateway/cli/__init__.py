"""The command line: run, check, explain, plugins, profiles, commands to a running gateway, demo.

For plugins that bring a command of their own: `ask_running`, and the options that say which gateway is meant.
"""

from gateway.cli.asking import admin_option, ask_running, site_option
from gateway.cli.main import main

__all__ = ["admin_option", "ask_running", "main", "site_option"]
