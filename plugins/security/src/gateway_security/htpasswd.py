"""Users and their hashes, from lines of an htpasswd file or from the settings.

Owns the file's notation. Does not check passwords, nor look whether the file has changed (`watched_file`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from gateway_security.passwords import PasswordHash, parse_hash

Users: TypeAlias = dict[bytes, PasswordHash]
"""Who may come in: the name as a client sends it, and the hash of the password."""


def check_name(name: str) -> bytes:
    """A user's name as bytes. Raises ValueError for one that no client could send (RFC 7617 2)."""
    if not name or ":" in name or not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} cannot be a user's name: it is visible characters without a colon")
    return name.encode()


def parse_users(text: bytes) -> Users:
    """The users in a file. Raises ValueError that names the line, and never shows a hash."""
    users: Users = {}
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        try:
            if not colon:
                raise ValueError("expected a line NAME:HASH")
            user = check_name(name)
            if user in users:
                raise ValueError(f"user {name!r} is there already")
            users[user] = _hash_of(name, rest.partition(":")[0])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return users


def named_users(given: Mapping[str, str]) -> Users:
    """The users of the settings. Raises ValueError that names the user."""
    return {check_name(name): _hash_of(name, text) for name, text in given.items()}


def _hash_of(name: str, text: str) -> PasswordHash:
    try:
        return parse_hash(text)
    except ValueError as error:
        raise ValueError(f"user {name!r}: {error}") from None
