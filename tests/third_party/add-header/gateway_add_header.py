"""The plugin `add-header`: one more header on every response."""

from gateway import Exchange, PluginConfig, Response, hookimpl


class AddHeader:
    """Set a header of every response."""

    class Config(PluginConfig):
        """Which header."""

        name: str = "x-hello"
        value: str = "world"

    def __init__(self, config: Config) -> None:
        self._name, self._value = config.name, config.value

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Set it."""
        response.headers.set(self._name, self._value)
