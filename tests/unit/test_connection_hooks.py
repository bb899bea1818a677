"""Who is asked about a connection, who hears of its end, and what is told of a plugin that does not return."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway import Connection, Deny, hookimpl
from gateway.connection_hooks import ConnectionHooks


class Asked:
    def __init__(self, name: str, log: list[str], answer: Deny | None = None) -> None:
        self.name, self.log, self.answer = name, log, answer

    @hookimpl
    def on_connect(self, connection: Connection) -> Deny | None:
        self.log.append(f"{self.name} asked")
        return self.answer

    @hookimpl
    def on_disconnect(self, connection: Connection) -> None:
        self.log.append(f"{self.name} told")


class Told:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    @hookimpl
    def on_disconnect(self, connection: Connection) -> None:
        self.log.append(f"{self.name} told")


class Hanging:
    @hookimpl
    async def on_connect(self, connection: Connection) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def connection() -> Connection:
    return Connection("192.0.2.1", "192.0.2.1", 5, "127.0.0.1:80")


def hooks_of(*plugins: object) -> ConnectionHooks:
    return ConnectionHooks([(getattr(plugin, "name", "Hanging"), plugin) for plugin in plugins])


async def test_a_plugin_that_only_hears_of_the_end_is_told(connection):
    log: list[str] = []
    hooks = hooks_of(Told("end", log))
    assert hooks.names == ["end"]
    assert await hooks.connect(connection) is None
    hooks.disconnect(connection)
    assert log == ["end told"]


async def test_who_is_listed_before_a_denial_hears_of_it_asked_or_not(connection):
    log: list[str] = []
    hooks = hooks_of(Told("a", log), Asked("b", log), Asked("c", log, Deny("no")), Told("d", log), Asked("e", log))
    assert hooks.names == ["b", "c", "e", "a", "d"]
    assert await hooks.connect(connection) == Deny("c: no")
    assert log == ["b asked", "c asked", "a told", "b told"]


async def test_one_that_does_not_return_is_named_when_time_is_up_but_not_for_each_connection(connection, caplog):
    caplog.set_level(logging.WARNING, "gateway")
    hooks = hooks_of(Hanging())
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await hooks.connect(connection)
    (told,) = caplog.messages
    assert told == f"plugin 'Hanging': its on_connect had not returned when {connection!r} was given up"
