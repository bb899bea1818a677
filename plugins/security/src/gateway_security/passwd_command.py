"""The command `gateway passwd`: make the line of a user for an htpasswd file."""

from __future__ import annotations

import sys

import click

from gateway_security.htpasswd import check_name
from gateway_security.passwords import make_hash


@click.command()
@click.argument("name")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input, without asking.")
def passwd(name: str, from_stdin: bool) -> None:
    """Print a line NAME:HASH for the file of `basic-auth`; `>>` puts it there.

    The password is asked for on a terminal; otherwise it is the first line of standard input.
    """
    try:
        check_name(name)
        password = _read(from_stdin)
        click.echo(f"{name}:{make_hash(password)}")
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _read(from_stdin: bool) -> str:
    if from_stdin or not sys.stdin.isatty():
        text = sys.stdin.readline().rstrip("\r\n")
    else:
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not text or not text.isprintable():
        raise ValueError("a password is at least one character, and none of control")
    return text
