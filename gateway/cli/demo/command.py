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

from gateway.cli.demo import l7_balancer, reverse_proxy
from gateway.cli.demo.child import PATIENCE_SECONDS
from gateway.cli.demo.screen import Screen
from gateway.cli.demo.show import Show, Stage
from gateway.config.model import parse_bind
from gateway.errors import ConfigurationError

STAGES: dict[str, Stage] = {"l7-balancer": l7_balancer.staged, "reverse-proxy": reverse_proxy.staged}
PREFERRED = "127.0.0.1:8080"
STEP_SECONDS = 18.0
LOOK_SECONDS = 0.25


@click.command()
@click.argument("profile", type=click.Choice([*STAGES]), default="l7-balancer", metavar=f"[{'|'.join(STAGES)}]")
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
def demo(profile: str, listen: str | None, step: float, duration: float | None) -> None:
    """Take a tour of two minutes, of one of two profiles.

    l7-balancer, which is the default: balancing, sessions, an endpoint that dies and comes back, a drain, a canary.

    reverse-proxy: misses and hits, one fetch for many, codings, an origin that stops, a purge, a page with a film.
    """
    asyncio.run(_demo(STAGES[profile], _checked(listen) if listen else _preferred(), step, duration))


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


async def _demo(stage: Stage, listen: str, step: float, duration: float | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
        show = await stack.enter_async_context(stage(listen, folder, stop))
        screen = stack.enter_context(Screen(show.child, show.hints))
        await _play(show, screen, step, stop, time.monotonic() + (duration or float("inf")))
        await show.end()
        screen.close(show)
    if show.child.died is not None:
        raise click.ClickException(f"the gateway ended by itself, with status {show.child.died}")


async def _play(show: Show, screen: Screen, step: float, stop: asyncio.Event, deadline: float) -> None:
    """Keep the screen up to date while the tour goes on, until somebody has seen enough."""
    walking = asyncio.create_task(show.tour(screen, step).walk())
    try:
        while not stop.is_set() and time.monotonic() < deadline:
            if walking.done():
                walking.result()
            await show.look()
            screen.show(show)
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
