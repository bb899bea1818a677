"""`gateway demo`: guided tours, one for each profile: a gateway, small origins, and people who do not exist.

A tour is a folder here, named after its profile. It lives with the command rather than with the profile: the
package of a profile is a TOML file and a list of dependencies, and a tour starts its gateway as anybody would.
"""

from gateway.cli.demo.command import demo

COMMANDS = (demo,)

__all__ = ["COMMANDS", "demo"]
