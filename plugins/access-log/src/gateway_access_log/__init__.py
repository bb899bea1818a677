"""The plugin `access-log`: a line for each exchange, as JSON or text, to a file or to stdout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway import App, ConfigurationError, Duration, Exchange, FilePath, PluginConfig, hookimpl
from gateway_access_log.fields import DEFAULT_FIELDS, FIELDS
from gateway_access_log.lines import COMBINED, check_field, json_lines, text_lines, with_types_in_order
from gateway_access_log.writer import LineWriter

__all__ = ["FIELDS", "AccessLog"]


def _check_template(value: str) -> str:
    text_lines(value)
    return value


class AccessLog:
    """Write a line for each exchange when it is over, and never stand in its way.

    Lines are gathered and written in batches by a thread. When the file cannot be written or is too slow, lines
    are dropped, counted, and the gateway's log says so once. The file is opened anew when the gateway is told to
    reopen its logs, and everything is written at shutdown.
    """

    api = 1

    class Config(PluginConfig):
        """Where the lines go and what is in them."""

        file: Literal["stdout"] | FilePath = "stdout"
        """`stdout`, or the file to append to; a relative path starts at the folder of the site file."""
        format: Literal["json", "text"] = "json"
        """A JSON object a line, or text after `template`."""
        fields: Annotated[tuple[Annotated[str, AfterValidator(check_field)], ...], Field(min_length=1)] = (
            DEFAULT_FIELDS
        )
        """The fields of a JSON line, in order."""
        template: Annotated[str, AfterValidator(_check_template)] = COMBINED
        """A line of text; fields stand in braces. The default is the Combined Log Format."""
        flush_interval: Duration = 1.0
        """A line waits at most so long before it is written."""
        batch: Annotated[int, Field(ge=1, le=65536)] = 512
        """So many lines are written at once without waiting for the interval."""
        max_waiting: Annotated[int, Field(ge=1)] = 65536
        """Lines that may wait for a slow file in each worker; more are dropped."""

    def __init__(self, config: Config) -> None:
        self._line = json_lines(config.fields) if config.format == "json" else text_lines(config.template)
        self._writer = LineWriter(
            None if config.file == "stdout" else config.file,
            batch_lines=config.batch,
            flush_seconds=config.flush_interval,
            max_lines=max(config.max_waiting, config.batch),
        )
        self._file = config.file
        self._add = self._writer.add

    @hookimpl
    def on_check(self, app: App) -> None:
        """See whether the file could be opened."""
        self._explained(self._writer.check)

    @hookimpl
    def startup(self, app: App) -> None:
        """Open the file, so that a wrong path refuses the start."""
        self._explained(self._writer.open)
        self._unsubscribe = app.bus.subscribe("logs.reopen", self._reopen)

    @hookimpl
    async def shutdown(self, app: App) -> None:
        """Write what is left."""
        self._unsubscribe()
        await self._writer.close()

    @hookimpl
    def on_complete(self, exchange: Exchange) -> None:
        """Take down the exchange."""
        # hot: l7-balancer
        try:
            line = self._line(exchange)
        except Exception:
            line = self._line(with_types_in_order(exchange))
        self._add(line)

    def _explained(self, open_file: Callable[[], None]) -> None:
        try:
            open_file()
        except OSError as error:
            hint = "name a file in a folder that is there, and that the gateway may write to"
            raise ConfigurationError(f"file: {self._file}: {error.strerror}; {hint}") from None

    def _reopen(self, message: Any) -> None:
        self._writer.reopen()
