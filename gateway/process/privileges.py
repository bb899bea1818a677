"""Give up root: a worker becomes the user that serves, once its sockets are bound.

Owns the change. The supervisor stays who it is: it binds further listeners after a reload, and replaces workers.
"""

from __future__ import annotations

import ctypes
import os
import pwd

from gateway.errors import ConfigurationError

_PR_SET_DUMPABLE = 4


def find_user(name: str, where: str) -> pwd.struct_passwd:
    """Who that is. Raises ConfigurationError if there is nobody of that name."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise ConfigurationError(f"{where}: user: there is no user {name!r} on this machine") from None


def find_successor(name: str, where: str) -> pwd.struct_passwd:
    """Who we are to become. Raises ConfigurationError if there is nobody of that name, or if we may not."""
    user = find_user(name, where)
    if os.geteuid() not in (0, user.pw_uid):
        raise ConfigurationError(
            f"{where}: user: only root can become {name!r}; start the gateway as root, or leave user out"
        )
    return user


def become(name: str, where: str) -> None:
    """Be that user from now on, with its groups and nothing of before. Raises ConfigurationError."""
    user = find_successor(name, where)
    if os.geteuid() != 0:
        return
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    # The system takes such a process for one with secrets and hides its own /proc/self/fd from it.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
