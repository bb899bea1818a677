"""What routes ask of a request's body, and how it is read before the route is known: as far as they may look.

What was read stays there for whoever forwards it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Protocol

import orjson

from gateway.config.routes import Match
from gateway.light import as_task
from gateway.model import Exchange
from gateway.routing.conditions import Expectation


class SeenBody:
    """A request body that was read before routing; `data` is None if it was over the bound."""

    __slots__ = ("_json", "data")

    def __init__(self, data: bytes | None) -> None:
        self.data = data
        self._json: Any = _UNREAD

    @property
    def text(self) -> str:
        """As text; bytes that are no UTF-8 become U+FFFD."""
        return (self.data or b"").decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """What the JSON says, or None if it is none."""
        if self._json is _UNREAD:
            try:
                self._json = orjson.loads(self.data or b"")
            except orjson.JSONDecodeError:
                self._json = None
        return self._json


_UNREAD = object()


class BodyCondition(Protocol):
    """One thing that is asked of a request's body."""

    def matches(self, body: SeenBody) -> bool:
        """Whether the body, which is within the bound, is so."""
        ...

    def describe(self) -> str:
        """What was wanted: `json user.plan: wanted gold`."""
        ...


class JsonCondition:
    """A field of a JSON body has an expected value."""

    def __init__(self, path: str, wanted: bool | str) -> None:
        self._path = path
        self._steps = path.split(".")
        self._expected = Expectation(wanted)

    def matches(self, body: SeenBody) -> bool:
        """Go down to the field; a number leads into a list. A body that is no JSON never matches."""
        value = body.json
        if not isinstance(value, dict | list):
            return False
        for step in self._steps:
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return self._expected.accepts(())
        return self._expected.accepts((value if isinstance(value, str) else orjson.dumps(value).decode(),))

    def describe(self) -> str:
        """What was wanted."""
        return f"json {self._path}: wanted {self._expected}"


class TextCondition:
    """The body holds a text, or fits an expression."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._expression = re.compile(wanted[1:]).search if wanted.startswith("~") else None

    def matches(self, body: SeenBody) -> bool:
        """Look through the whole body."""
        if self._expression is not None:
            return self._expression(body.text) is not None
        return self._wanted in body.text

    def describe(self) -> str:
        """What was wanted."""
        return f"body: wanted {self._wanted}"


def body_conditions(match: Match) -> list[BodyCondition]:
    """What a match asks of the body."""
    found: list[BodyCondition] = [JsonCondition(path, wanted) for path, wanted in match.json_fields.items()]
    if match.body:
        found.append(TextCondition(match.body))
    return found


async def read_ahead(exchange: Exchange, max_bytes: int) -> SeenBody:
    """The body, if it is no larger than that (0: whatever its size); what was read is still there to be forwarded.

    Raises what reading a body raises: BodyTimeout, BodyTooLarge, BodyBroken.
    """
    await as_task()
    request = exchange.request
    source = request.body
    assert source is not None
    if max_bytes and request.length is not None and request.length > max_bytes:
        return SeenBody(None)
    pieces: list[bytes] = []
    size = 0
    rest = aiter(source)
    async for piece in rest:
        pieces.append(piece)
        size += len(piece)
        if max_bytes and size > max_bytes:
            request.body = ReadAgain(pieces, rest)
            return SeenBody(None)
    whole = b"".join(pieces)
    request.body = ReadAgain([whole] if whole else [], rest)
    return SeenBody(whole)


class ReadAgain:
    """A body of which a part was read already: that part again, and then the rest as it arrives."""

    __slots__ = ("_pieces", "_rest", "is_spent")

    def __init__(self, pieces: list[bytes], rest: AsyncIterator[bytes]) -> None:
        self._pieces = pieces[::-1]
        self._rest = rest
        self.is_spent = False
        """Whether somebody has begun to read it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.is_spent = True
        return self._pieces.pop() if self._pieces else await anext(self._rest)
