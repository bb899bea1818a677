"""`gateway demo`: the command, and the beginning and end of everything that it starts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import click

from gateway.cli.demo.child import PATIENCE_SECONDS, running
from gateway.cli.demo.origin import serving
from gateway.cli.demo.site import site_file
from gateway.cli.demo.tour import Scene, Tour
from gateway.cli.demo.traffic import Traffic
from gateway.cli.demo.view import Counts, Row, View
from gateway.config.model import parse_bind
from gateway.errors import ConfigurationError

NAMES = ("one", "two", "three")
CANARY_NAME = "four"
PREFERRED = "127.0.0.1:8080"
STEP_SECONDS = 18.0
LOOK_SECONDS = 0.25


@click.command()
@click.option("--listen", metavar="ADDR:PORT", help=f"Listen here.  [default: {PREFERRED}, or any free port]")
@click.option(
    "--step",
    type=click.FloatRange(0, min_open=True),
    default=STEP_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the tour stays at each of its six stops.",
)
@click.option("--duration", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Stop after so long.")
def demo(listen: str | None, step: float, duration: float | None) -> None:
    """Take a tour of two minutes: balancing, sessions, an endpoint that dies and comes back, a drain, a canary."""
    asyncio.run(_demo(_checked(listen) if listen else _preferred(), step, duration))


def _checked(listen: str) -> str:
    try:
        address = parse_bind(listen)
    except ValueError as error:
        raise ConfigurationError(f"--listen: {error}") from None
    if getattr(address, "path", ""):
        raise ConfigurationError(f'--listen: the demo wants "ADDRESS:PORT", not {listen!r}')
    return listen


def _preferred() -> str:
    """The usual address, or one with any free port when somebody is there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(PREFERRED.rpartition(":")[2])))
        except OSError:
            return "127.0.0.1:0"
    return PREFERRED


async def _demo(listen: str, step: float, duration: float | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-"))
        *origins, canary = [await stack.enter_async_context(serving(name)) for name in (*NAMES, CANARY_NAME)]
        site = Path(folder) / "site.toml"
        site.write_text(site_file(listen, [origin.address for origin in origins], [canary.address]))
        child = await stack.enter_async_context(running(site, stop))
        view = stack.enter_context(View(child.url, child.command))
        traffic = Traffic(child.url)
        stack.push_async_callback(traffic.end)
        scene = Scene(child, site, origins, canary, traffic)
        await _show(scene, view, Tour(scene, view, step), stop, time.monotonic() + (duration or float("inf")))
        await traffic.end()
        view.close(_counts(scene))
    if child.died is not None:
        raise click.ClickException(f"the gateway ended by itself, with status {child.died}")


async def _show(scene: Scene, view: View, tour: Tour, stop: asyncio.Event, deadline: float) -> None:
    """Keep the view up to date while the tour goes on, until somebody has seen enough."""
    walking = asyncio.create_task(tour.walk())
    try:
        while not stop.is_set() and time.monotonic() < deadline:
            if walking.done():
                walking.result()
            await scene.look()
            view.show(_counts(scene))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
    except ConfigurationError:
        # Nobody answers: if the gateway has died, that is what there is to say.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PATIENCE_SECONDS)
        if not stop.is_set():
            raise
    finally:
        walking.cancel()


def _counts(scene: Scene) -> Counts:
    rows = [
        Row(
            origin.name,
            origin.address,
            scene.states.get(origin.address, ""),
            origin.served,
            scene.traffic.strangers[origin.name],
            tuple(scene.guests_of(origin)),
        )
        for origin in scene.everyone
    ]
    if not scene.canary.served:
        rows.pop()  # nobody is sent there before the last stop
    return Counts(time.monotonic(), tuple(rows), scene.traffic.failed)
