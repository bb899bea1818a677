"""`gateway demo`: a guided tour of a gateway, three origins and the requests of people who do not exist."""

from gateway.cli.demo.command import demo

__all__ = ["demo"]
