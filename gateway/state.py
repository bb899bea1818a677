"""Facts that plugins leave where their other hooks find them: on an exchange, or on a connection.

Owns the keys and the places. Does not know what is kept.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")
D = TypeVar("D")


class StateKey(Generic[T]):
    """A typed place for a plugin's own facts: `USER: StateKey[str] = StateKey("user")`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<StateKey {self.name}>"


class Stateful:
    """Something that plugins keep facts on, by their keys. Whoever inherits has a `_state`, None at first."""

    __slots__ = ("_state",)

    _state: dict[StateKey[Any], Any] | None

    @overload
    def get(self, key: StateKey[T]) -> T | None: ...
    @overload
    def get(self, key: StateKey[T], default: D) -> T | D: ...
    def get(self, key: StateKey[T], default: D | None = None) -> T | D | None:
        """A plugin's fact, or the default."""
        return default if self._state is None else self._state.get(key, default)

    def __getitem__(self, key: StateKey[T]) -> T:
        if self._state is None:
            raise KeyError(key)
        value: T = self._state[key]
        return value

    def __setitem__(self, key: StateKey[T], value: T) -> None:
        if self._state is None:
            self._state = {}
        self._state[key] = value

    def __contains__(self, key: object) -> bool:
        return self._state is not None and key in self._state
