"""The service that nginx asks in `python-hook`: the same decision as hooks/deciding.py, as an ASGI app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Message = dict[str, Any]

ALLOW: Message = {"type": "http.response.start", "status": 204, "headers": []}
DENY: Message = {"type": "http.response.start", "status": 403, "headers": []}
END: Message = {"type": "http.response.body", "body": b""}


async def app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """204 when the token is right, 403 when it is not."""
    for name, value in scope["headers"]:
        if name == b"x-token":
            await send(ALLOW if value == b"open" else DENY)
            break
    else:
        await send(DENY)
    await send(END)
