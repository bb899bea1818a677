"""What one App of a gateway leaves to the next over the bus, in one process and without waiting for anybody."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import gateway_health.checker
import pytest
from gateway_health.ejector import COMPLAINTS, EJECTIONS

from gateway import App, EndpointState
from gateway.bus import Bus
from gateway.config.loader import load
from gateway.testing import site_text
from gateway.upstream.agreement import MARKS

ENDPOINTS = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
FIRST, SECOND = "127.0.0.1:1", "127.0.0.1:2"
LONG = {"passive": {"ejection": "1h", "max_ejection": "1h"}}
SHORT = {"passive": {"ejection": "20ms", "max_ejection": "20ms"}}


@pytest.fixture
async def start(tmp_path) -> AsyncIterator[Callable[..., App]]:
    """`await start(bus, health)`: an App of the worker that decides, started; shut down at the end."""
    async with AsyncExitStack() as stack:

        async def start(bus: Bus, health: object) -> App:
            upstream = {"endpoints": ENDPOINTS, "health": health}
            (tmp_path / "site.toml").write_text(site_text(plugins=["health"], upstreams={"app": upstream}))
            app = App(load(str(tmp_path / "site.toml")), bus)
            await app.startup()
            stack.push_async_callback(app.shutdown)
            return app

        yield start


def complain(bus: Bus, endpoint: str = FIRST) -> None:
    bus.publish(COMPLAINTS, {"upstream": "app", "endpoint": endpoint, "why": "it fails"})


def state(app: App, endpoint: str = FIRST) -> EndpointState:
    return app.upstreams["app"].find(endpoint).state


async def until(condition: Callable[[], object], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.005)


async def test_an_ejection_is_taken_over_and_not_decided_again(start):
    bus = Bus()
    old = await start(bus, LONG)
    complain(bus)
    new = await start(bus, LONG)
    assert state(old) is state(new) is EndpointState.DOWN
    old.is_retired = True
    complain(bus)
    complain(bus, SECOND)
    assert state(new, SECOND) is EndpointState.UP
    (kept,) = bus.kept(EJECTIONS)
    assert (kept["endpoint"], kept["times"]) == (FIRST, 1)


async def test_who_takes_over_ends_what_it_did_not_begin(start):
    bus = Bus()
    (await start(bus, SHORT)).is_retired = True
    app = await start(bus, SHORT)
    complain(bus)
    app.is_retired = True
    new = await start(bus, SHORT)
    await until(lambda: state(new) is EndpointState.UP)


async def test_an_app_that_is_replaced_decides_nothing(start):
    bus = Bus()
    app = await start(bus, LONG)
    app.is_retired = True
    complain(bus)
    assert state(app) is EndpointState.UP
    assert bus.kept(EJECTIONS) == ()


async def test_when_nobody_ejects_any_more_nobody_is_out(start):
    bus = Bus()
    old = await start(bus, LONG)
    complain(bus)
    old.is_retired = True
    new = await start(bus, {"passive": {"failures": 0, "error_rate": 0}})
    assert state(new) is EndpointState.UP


async def test_when_nobody_checks_any_more_a_late_check_of_those_before_holds_nobody_down(start):
    bus = Bus()
    old = await start(bus, {"check": "tcp", "interval": "5ms", "fall": 1})
    await until(lambda: state(old) is EndpointState.DOWN)
    said: list[str] = []
    bus.subscribe(MARKS, lambda mark: said.append(mark["state"]) if mark and mark["endpoint"] == FIRST else None)
    new = await start(bus, {"check": "none"})
    await until(lambda: said[-2:] == ["up", "down"])  # by the new one, and by the old one that still checks
    old.is_retired = True
    await until(lambda: state(new) is EndpointState.UP)


async def test_of_an_endpoint_that_is_well_nothing_is_kept(start):
    bus = Bus()
    app = await start(bus, {"check": "tcp", "interval": "5ms", "fall": 1})
    await until(lambda: state(app) is EndpointState.DOWN)
    assert len(bus.kept(MARKS)) >= 1
    app.is_retired = True
    await start(bus, {"check": "none"})
    await until(lambda: not bus.kept(MARKS))


async def test_ejections_that_are_made_up_for_are_forgotten(start):
    bus = Bus()
    app = await start(bus, SHORT)
    complain(bus)
    (kept,) = bus.kept(EJECTIONS)
    await until(lambda: state(app) is EndpointState.UP)
    await until(lambda: time.monotonic() > kept["until"] + 0.02)
    app.is_retired = True
    await start(bus, SHORT)
    await until(lambda: not bus.kept(EJECTIONS))


async def test_a_complaint_about_nobody_known_is_passed_by(start):
    bus = Bus()
    app = await start(bus, LONG)
    complain(bus, "127.0.0.1:3")
    bus.publish(COMPLAINTS, {"upstream": "other", "endpoint": FIRST, "why": "it fails"})
    assert [state(app, each) for each in (FIRST, SECOND)] == [EndpointState.UP] * 2
    assert bus.kept(EJECTIONS) == ()


async def test_a_check_that_breaks_is_logged_and_made_again(start, monkeypatch, caplog):
    made = []

    async def breaking(*arguments: object) -> str:
        made.append(arguments)
        if len(made) == 1:
            raise RuntimeError("a bug")
        return ""

    monkeypatch.setattr(gateway_health.checker, "ask", breaking)
    with caplog.at_level(logging.ERROR):
        app = await start(Bus(), {"check": "tcp", "interval": "5ms"})
        await until(lambda: len(made) > 5)
    assert caplog.text.count("a bug") >= 1
    assert state(app) is EndpointState.UP
