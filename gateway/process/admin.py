"""The admin socket: how the command line talks to a running gateway.

Owns the path (owner-only), the request and reply lines, and finding the right gateway. What a command does is
the supervisor's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from gateway.errors import ConfigurationError
from gateway.process.sockets import remove_stale

log = logging.getLogger("gateway.supervisor")

Answer: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

TIMEOUT_SECONDS = 120.0


def default_folder() -> Path:
    """Where admin sockets are: the user's runtime folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "gateway"
    if os.geteuid() == 0:
        return Path("/run/gateway")
    return Path(tempfile.gettempdir()) / f"gateway-{os.geteuid()}"


def socket_path(configured: Path | None) -> Path:
    """The admin socket of this process. Makes the folder for its owner alone."""
    if configured is not None:
        return configured
    folder = default_folder()
    _make_private(folder)
    return folder / f"{os.getpid()}.sock"


def announce(path: Path) -> Path | None:
    """Have a configured socket found among the others of this user; where that is told. None if it cannot be told.

    Otherwise a gateway would be lost to its operator as soon as its site file is wrong or names another socket.
    """
    with contextlib.suppress(ConfigurationError, OSError):
        _make_private(default_folder())
        link = default_folder() / f"{os.getpid()}.sock"
        if link != path:
            link.unlink(missing_ok=True)
            link.symlink_to(path.absolute())
            return link
    return None


def _make_private(folder: Path) -> None:
    """Make the folder; refuse one in which somebody else could put a socket of his own, or a link to one."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        link, found = folder.lstat(), folder.stat()
    except OSError as error:
        raise ConfigurationError(
            f"admin sockets: {folder}: {error.strerror}; name a path in admin_socket"
        ) from None
    if {link.st_uid, found.st_uid} != {os.geteuid()}:
        raise ConfigurationError(f"admin sockets: {folder} belongs to somebody else; name a path in admin_socket")
    if found.st_mode & 0o022:
        raise ConfigurationError(
            f"admin sockets: {folder} is one that others may write to; name a path in admin_socket"
        )


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Answer commands on a socket that only its owner may use. Raises ConfigurationError."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(orjson.dumps(await _reply(reader, answer)) + b"\n")
            await writer.drain()
        except OSError:
            log.debug("whoever gave a command did not wait for the reply")
        finally:
            writer.close()

    mask = os.umask(0o177)
    try:
        remove_stale(str(path))
        return await asyncio.start_unix_server(converse, str(path))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            mend = "give each its own path, or stop the other one"
            raise ConfigurationError(f"admin_socket: {path} is served by another gateway; {mend}") from None
        raise ConfigurationError(f"admin_socket: {path}: {error.strerror}") from None
    finally:
        os.umask(mask)


async def _reply(reader: asyncio.StreamReader, answer: Answer) -> dict[str, Any]:
    """What to say to one command. Raises OSError if the connection breaks before it is there."""
    try:
        request = orjson.loads(await reader.readline())
        if not isinstance(request, dict):
            raise ValueError("no table")
        command = request.pop("command")
    except (ValueError, KeyError) as error:
        return {"error": f"not understood: {error!r}"}
    try:
        return await answer(command, request)
    except (ValueError, KeyError) as error:
        return {"error": f"not understood: {error!r}"}
    except Exception as error:  # whoever asks gets an answer
        log.exception("a command failed")
        return {"error": f"failed, as the gateway's log tells: {error!r}"}


def ask(path: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Send one command and wait for its reply. Raises ConfigurationError if nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(orjson.dumps({"command": command, **arguments}) + b"\n")
            with connection.makefile("rb") as lines:
                reply: dict[str, Any] = orjson.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"no answer on {path}: {error}") from None
    return reply


def is_served(path: Path) -> bool:
    """Whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def find(target: str | None, configured: Path | None = None) -> Path:
    """The admin socket of the running gateway that serves `target`, or of the only one there is.

    Raises ConfigurationError that lists what runs.
    """
    if configured is not None:
        return configured
    running: dict[Path, dict[str, Any]] = {}
    for place in sorted(default_folder().glob("*.sock")):
        path = place.resolve()
        try:
            running[path] = running.get(path) or ask(path, "status")
        except ConfigurationError:
            with contextlib.suppress(OSError):
                _clear_away(place)
    wanted = (target, str(Path(target).resolve())) if target else ()
    found = [path for path, status in running.items() if not wanted or status["target"] in wanted]
    if len(found) == 1:
        return found[0]
    if not running:
        raise ConfigurationError(
            f"no gateway of yours is running, as far as {default_folder()} tells"
            "; one with an admin_socket elsewhere is found by --admin"
        )
    served = [status["target"] for status in running.values()]
    rows = []
    for path, status in running.items():
        site = f"--site {status['target']} or " if served.count(status["target"]) == 1 else ""
        rows.append(f"{status['target']} on {', '.join(status['listeners'])}: {site}--admin {path}")
    listed = "\n  ".join(rows)
    if target and not found:
        raise ConfigurationError(f"no running gateway serves {target}; running:\n  {listed}")
    raise ConfigurationError(f"several gateways are running; say which:\n  {listed}")


def _clear_away(place: Path) -> None:
    """Take away what a gateway that was killed has left behind."""
    if place.is_symlink() and not place.exists():
        place.unlink()
    remove_stale(str(place))
