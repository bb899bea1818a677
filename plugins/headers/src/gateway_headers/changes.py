"""A list of changes to headers, made ready once so that applying it is one pass.

Owns their order: remove, set, add. Does not know when they are applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway import Exchange, Headers
from gateway_headers.config import RequestChanges, ResponseChanges
from gateway_headers.template import Render, compile_template


class Changes:
    """What to do with the headers of a request or a response.

    Literal values are made once; a value with names in it is made for each exchange, and one that comes out
    empty leaves its header out.
    """

    __slots__ = ("_fixed", "_gone", "_made", "is_empty")

    def __init__(
        self, wanted: RequestChanges | ResponseChanges, names: Mapping[str, Callable[[Exchange], str]]
    ) -> None:
        self._gone = frozenset(name.encode() for name in (*wanted.remove, *wanted.set))
        self._fixed: list[tuple[bytes, bytes]] = []
        self._made: list[tuple[bytes, Render]] = []
        added = [(name, value) for name, values in wanted.add.items() for value in values]
        for name, text in (*wanted.set.items(), *added):
            value = compile_template(text, names)
            if isinstance(value, bytes):
                self._fixed.append((name.encode(), value))
            else:
                self._made.append((name.encode(), value))
        self.is_empty = not (self._gone or self._fixed or self._made)

    def apply(self, headers: Headers, exchange: Exchange) -> None:
        """Make the changes."""
        # hot: l7-balancer
        raw, gone = headers.raw, self._gone
        if gone:
            raw[:] = [field for field in raw if field[0] not in gone]
        raw += self._fixed
        for name, render in self._made:
            value = render(exchange)
            if value:
                raw.append((name, value))

    def __repr__(self) -> str:
        return f"<Changes: {len(self._gone)} removed or set, {len(self._fixed)} fixed, {len(self._made)} made>"
