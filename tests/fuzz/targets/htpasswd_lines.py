"""An htpasswd file: users, or one line that says what is wrong and shows nothing of a hash."""

from __future__ import annotations

import re

from gateway_security.htpasswd import parse_users

LOOKS_SECRET = re.compile(r"(?=.*[0-9])(?=.*[A-Z]).{8,}").fullmatch
"""Others may be a word of the message by chance."""


def check(data: bytes) -> None:
    try:
        users = parse_users(data)
    except ValueError as error:
        message = str(error)
        assert message == "not UTF-8" or message.startswith("line ")
        assert "\n" not in message
        at = message.removeprefix("line ").partition(":")[0]
        line = data.decode().split("\n")[int(at) - 1] if at.isdigit() else ""
        name, _, secret = line.strip().partition(":")
        assert not LOOKS_SECRET(secret) or secret in name or secret not in message.replace(name, "")
    else:
        assert all(name and b":" not in name and b"\n" not in name for name in users)
