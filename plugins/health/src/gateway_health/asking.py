"""Ask an endpoint once, and say in a few words what is wrong with it.

Owns the kinds of checks by name, the deadline, and the words for failures of the network. What is said to the
endpoint is in `http_check` and `grpc_check`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from gateway_health.http_check import HttpCheck
from gateway_health.settings import Settings
from gateway_health.target import Target

Check: TypeAlias = Callable[[Target, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]
"""Asks a target over a connection. An empty answer means that it is well, any other says what is wrong."""


class Inconclusive(Exception):
    """The gateway could not ask: this says nothing about the endpoint."""


def make_check(settings: Settings, host: str) -> Check:
    """The check that the settings describe. `host` is the one that all requests of the upstream name, if any."""
    match settings.kind:
        case "http":
            return HttpCheck(settings, settings.host or host)
        case "grpc":
            from gateway_health.grpc_check import GrpcCheck  # with it comes all of HTTP/2

            return GrpcCheck(settings.service, settings.timeout)
        case _:
            return connect_check


async def connect_check(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Ask nothing: that there is a connection is enough, with the handshake if it is one over TLS."""
    return ""


async def ask(check: Check, target: Target, seconds: float) -> str:
    """What is wrong with a target; empty if nothing is. Raises Inconclusive."""
    writer: asyncio.StreamWriter | None = None
    trouble = "not asked"
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await target.open()
            trouble = await check(target, reader, writer)
    except TimeoutError:
        trouble = f"no answer within {seconds:g} s"
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise Inconclusive("no file descriptor is free (ulimit -n)") from error
        trouble = in_words(error)
    finally:
        if writer is not None:
            await _close(writer, politely=not trouble)
    return trouble


async def _close(writer: asyncio.StreamWriter, politely: bool) -> None:
    """End a connection, over TLS with a goodbye that the endpoint may take a moment to answer."""
    if politely:
        writer.close()
    else:
        writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def in_words(error: OSError) -> str:
    """What an operator should read of a failure of the network."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"the name is not found: {error.strerror}"
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
