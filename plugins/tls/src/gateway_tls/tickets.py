"""Session tickets that every worker understands: the same key in all of them, another one every few hours.

Owns the keys. One worker makes them and the bus brings them to the others; no file holds them, and an old one is
forgotten, so what was recorded is not opened by what is found later (RFC 8446, C.4).

Python's `ssl` has no way to set the key of tickets; OpenSSL has. It is called by way of ctypes, and what was set is
read back: where that does not hold, each worker knows its own tickets only, which costs clients a full handshake.
"""

from __future__ import annotations

import _ssl
import asyncio
import ctypes
import platform
import secrets
import ssl
import time
from collections.abc import Callable
from typing import Any

from gateway import App

PERIOD_SECONDS = 6 * 3600
"""For so long a key is used."""
KEY_BYTES = 80
"""A name of 16, and 32 each for HMAC and AES: SSL_CTX_set_tlsext_ticket_keys(3)."""

TOPIC = "tls.tickets"
LOOK_SECONDS = 60.0

_SET_CACHE_MODE, _NO_CACHE = 44, 0
"""OpenSSL's SSL_CTRL_SET_SESS_CACHE_MODE and SSL_SESS_CACHE_OFF."""
_GET_KEYS, _SET_KEYS = 58, 59
"""OpenSSL's SSL_CTRL_GET_TLSEXT_TICKET_KEYS and SSL_CTRL_SET_TLSEXT_TICKET_KEYS."""


class TicketKeys:
    """The key of the moment, as one listener hears of it."""

    def __init__(self, app: App, take: Callable[[bytes], None]) -> None:
        """`take` is called with each key, with the one in use at once."""
        self._app = app
        self._made = 0.0
        self._take = take
        self._end = app.bus.subscribe(TOPIC, self._hear)
        app.spawn(self._renew())

    def close(self) -> None:
        """Hear of no more."""
        self._end()

    def _hear(self, message: dict[str, Any]) -> None:
        self._made = message["made"]
        self._take(bytes.fromhex(message["key"]))

    async def _renew(self) -> None:
        while True:
            if self._app.once("tls.tickets") and time.time() - self._made >= PERIOD_SECONDS:
                key = {"key": secrets.token_hex(KEY_BYTES), "made": time.time()}
                self._app.bus.publish(TOPIC, key, keep="key")
            await asyncio.sleep(LOOK_SECONDS)


def set_ticket_key(context: ssl.SSLContext, key: bytes) -> bool:
    """Have a context make and take tickets with this key; False where that cannot be done."""
    control = _control()
    if control is None:
        return False
    pointer = _pointer(context)
    buffer = ctypes.create_string_buffer(key, KEY_BYTES)
    if control(pointer, _SET_KEYS, KEY_BYTES, buffer) != 1:
        return False
    back = ctypes.create_string_buffer(KEY_BYTES)
    return control(pointer, _GET_KEYS, KEY_BYTES, back) == 1 and back.raw == key


def resume_nothing(context: ssl.SSLContext) -> None:
    """Have every connection make a full handshake.

    A session that is taken up again is not verified again: not against this listener's CA, if it comes from another
    one, and not against a revocation list that has come since.
    """
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    control = _control()
    if control is not None:  # else sessions by their id remain, which this context alone knows and has verified
        control(_pointer(context), _SET_CACHE_MODE, _NO_CACHE, None)


def _pointer(context: ssl.SSLContext) -> ctypes.c_void_p:
    """CPython keeps OpenSSL's context as the first thing after an object's head (Modules/_ssl.c, PySSLContext)."""
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__)


def _control() -> ctypes._NamedFuncPointer | None:
    """SSL_CTX_ctrl of the OpenSSL that Python's `ssl` uses; None if it is not to be had."""
    if platform.python_implementation() != "CPython":
        return None
    try:
        control = ctypes.CDLL(_ssl.__file__).SSL_CTX_ctrl
    except (AttributeError, OSError):  # built into the interpreter, or its names are hidden
        return None
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    control.restype = ctypes.c_long
    return control
